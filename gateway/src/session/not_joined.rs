//! A pool that does not let a user into a room: what is logged of it, and what the user reads.

use holdover_protocol::xccos::{Edits, ReplyView, ResultCode, Verb};

use super::core::SessionCore;
use super::output::Event;
use super::pending::PendingCommand;
use super::room_events::RoomEvents;

impl SessionCore {
    /// Reports that a pool refused a join as a whole, with this code.
    pub(super) fn report_not_joined(&mut self, command: &PendingCommand, code: u16) {
        let mut events = RoomEvents::default();
        for (legacy, target) in &command.rooms {
            let refused = Event::NotJoined {
                legacy: legacy.clone(),
                pool: target.pool,
                code: Some(code),
            };
            self.room_event(&mut events, refused);
        }
        self.sum_up(command.verb.clone(), events);
    }
}

/// Replaces the code word of a refused join by a sentence: clients show it to their user. What a pool says in words stays.
pub(super) fn in_words(reply: ReplyView<'_>) -> Edits {
    let mut edits = Edits::new();
    let is_word = |said: &str| {
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        said.trim().bytes().all(is_code)
    };
    let Some(resp) = reply.element().child("resp") else {
        return edits;
    };
    if reply.verb() != Verb::Join || reply.is_success() || !is_word(&reply.text()) {
        return edits;
    }
    let code = reply.code();
    let is = |known: ResultCode| known.code() == code;
    let words = if is(ResultCode::NoSuchNode) {
        "This room does not exist on the server it was moved to. Please tell your administrator."
    } else if is(ResultCode::Permission) {
        "You are not a member of this room, or may not enter it."
    } else if is(ResultCode::NodeDisabled) {
        "This room was closed."
    } else if is(ResultCode::Unavailable) || is(ResultCode::Timeout) {
        super::commands::UNREACHABLE
    } else {
        "The server of this room did not let you in."
    };
    if resp.is_self_closing() {
        edits.replace_raw(
            resp.range(),
            &format!("<resp code=\"{code}\">{words}</resp>"),
        );
    } else {
        edits.replace(resp.content_range(), words);
    }
    edits
}
