//! `getpref` and `setpref`: numbered blobs that clients keep on the server.

use holdover_protocol::xccos::block::PreferenceBlock;
use holdover_protocol::xccos::verb::{GetPreference, PreferenceReply, SetPreference};
use holdover_protocol::xccos::{ReplyData, ResultCode};

use super::document::Answer;
use super::{Core, Turn};

/// Most bytes of a label.
const LABEL_BYTES: usize = 256;
/// Most bytes of a blob, as sent.
const CONTENT_BYTES: usize = 256 * 1024;
/// Most labels of one user.
const LABELS: u32 = 64;

impl Core {
    /// A blob, with its content only if it is newer than the client's. One that is not there has number 0; asked to
    /// make a default, its content is empty.
    pub(super) fn get_preference(&mut self, get: &GetPreference, turn: &mut Turn) -> Answer {
        turn.stored = true;
        let asked = &get.preference;
        let stored = self
            .store
            .preference(turn.user.as_str(), &asked.label)
            .map_err(|error| self.server_error(&error))?;
        let preference = match stored {
            Some((seqid, content)) => {
                let seqid = u64::try_from(seqid).unwrap_or_default();
                let content = (seqid > asked.seqid).then(|| content.into());
                Some(block(asked, seqid, content))
            }
            None if asked.create_default == Some(true) => Some(block(asked, 0, Some("".into()))),
            None => None,
        };
        Ok(ReplyData::Preference(PreferenceReply { preference }))
    }

    /// Stores a blob under the next number, which the reply tells. The last writer wins.
    pub(super) fn set_preference(&mut self, set: &SetPreference, turn: &mut Turn) -> Answer {
        let user = turn.user.as_str();
        let given = &set.preference;
        let content = given.content.as_deref().unwrap_or_default();
        if given.label.len() > LABEL_BYTES || content.len() > CONTENT_BYTES {
            return Err(ResultCode::LimitExceeded.into());
        }
        turn.stored = true;
        let stored = self
            .store
            .preference(user, &given.label)
            .map_err(|error| self.server_error(&error))?;
        if stored.is_none()
            && self
                .store
                .preference_count(user)
                .map_err(|error| self.server_error(&error))?
                >= LABELS
        {
            return Err(ResultCode::LimitExceeded.into());
        }
        let last = stored.map_or(0, |(seqid, _)| seqid);
        // A client that comes from another server brings a number of its own; numbers never go back.
        let seqid = i64::try_from(given.seqid)
            .ok()
            .and_then(|given| given.max(last).checked_add(1))
            .ok_or(ResultCode::InvalidArgument)?;
        self.store
            .set_preference(user, &given.label, seqid, content)
            .map_err(|error| self.server_error(&error))?;
        let seqid = u64::try_from(seqid).unwrap_or_default();
        Ok(ReplyData::Preference(PreferenceReply {
            preference: Some(block(given, seqid, None)),
        }))
    }
}

fn block(of: &PreferenceBlock, seqid: u64, content: Option<Box<str>>) -> PreferenceBlock {
    PreferenceBlock {
        label: of.label.clone(),
        seqid,
        create_default: None,
        content,
    }
}
