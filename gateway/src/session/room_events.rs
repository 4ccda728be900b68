//! Events about single rooms, of which one input may have as many as a command names rooms.

use holdover_protocol::xccos::Verb;

use super::core::SessionCore;
use super::output::Event;

/// Events about single rooms that one input may have. Hardly anybody opens more rooms at once; beyond it the log is told
/// their number, so that one message of a peer is not a thousand lines.
const ONE_BY_ONE: usize = 64;

/// How many there were of one input.
#[derive(Debug, Default)]
pub(super) struct RoomEvents(usize);

impl SessionCore {
    /// Tells of a room, unless there were many before.
    pub(super) fn room_event(&mut self, told: &mut RoomEvents, event: Event) {
        told.0 += 1;
        if told.0 <= ONE_BY_ONE {
            self.event(event);
        }
    }

    /// Tells how many events of rooms were not told.
    pub(super) fn sum_up(&mut self, verb: Verb, told: RoomEvents) {
        let untold = told.0.saturating_sub(ONE_BY_ONE);
        if untold > 0 {
            self.event(Event::RoomsSummed { verb, untold });
        }
    }
}
