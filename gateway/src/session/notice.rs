//! Lines that rules have for users. They come below the history of the first room whose history the user looks at: above
//! it nobody would see them.

use std::time::Instant;

use holdover_config::rules::Every;
use holdover_protocol::room::RoomUri;
use holdover_protocol::xccos::{Envelope, GroupChat};

use super::core::SessionCore;
use super::output::Event;
use crate::decide::Decisions;

impl SessionCore {
    /// The client was sent the history of a room.
    pub(super) fn show_notice(
        &mut self,
        now: Instant,
        legacy: &RoomUri,
        decisions: &dyn Decisions,
    ) {
        let Some(notice) = decisions.take_notice(legacy) else {
            return;
        };
        if notice.every == Every::SignIn {
            if self.noticed.contains(&notice.rule) {
                return;
            }
            self.noticed.push(notice.rule.clone());
        }
        let line = GroupChat {
            room: legacy.clone(),
            author: Some(self.settings.channel_uri.clone()),
            // Without a time clients take their own (facts/sipe-client.md).
            ts: None,
            chat: notice.text.into(),
        };
        self.deliver(now, Envelope::new(0).group_chat(1, &line).finish());
        self.event(Event::Noticed {
            legacy: legacy.clone(),
            rule: notice.rule,
        });
    }
}
