//! Messages: kept per room, numbered from 1, never changed.

use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreError};
use crate::pool::embedded::model::RoomKey;
use crate::pool::embedded::ticks::Ticks;

/// The newest message of a room: its number and its time. Zero in a room nobody has written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::pool::embedded) struct Head {
    pub(in crate::pool::embedded) id: i64,
    pub(in crate::pool::embedded) ticks: Ticks,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pool::embedded) struct Message {
    /// Its number in the room.
    pub(in crate::pool::embedded) id: i64,
    /// When the server took it.
    pub(in crate::pool::embedded) ticks: Ticks,
    /// Who wrote it.
    pub(in crate::pool::embedded) author: String,
    /// Plain text.
    pub(in crate::pool::embedded) text: String,
}

impl Store {
    /// The newest message of a room.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::pool::embedded) fn head(&self, room: RoomKey) -> Result<Head, StoreError> {
        let head = self
            .connection
            .prepare_cached(
                "SELECT id, ticks FROM message WHERE room = ? ORDER BY id DESC LIMIT 1",
            )?
            .query_row([room.0], |row| {
                Ok(Head {
                    id: row.get(0)?,
                    ticks: Ticks::new(row.get(1)?),
                })
            })
            .optional()?;
        Ok(head.unwrap_or_default())
    }

    /// Adds a message to the batch.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the batch is lost then.
    pub(in crate::pool::embedded) fn append(
        &mut self,
        room: RoomKey,
        at: Head,
        author: &str,
        text: &str,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO message (room, id, ticks, author, text) VALUES (?, ?, ?, ?, ?)",
                )?
                .execute(params![room.0, at.id, at.ticks.get(), author, text])
                .map(drop)
        })
    }

    /// The newest messages of a room, oldest first: at most `count`, and after the first no more than `weigh` sums
    /// up to `budget`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::pool::embedded) fn last(
        &self,
        room: RoomKey,
        count: usize,
        budget: usize,
        weigh: impl Fn(&Message) -> usize,
    ) -> Result<Vec<Message>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, ticks, author, text FROM message WHERE room = ? ORDER BY id DESC LIMIT ?",
        )?;
        let limit = i64::try_from(count).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![room.0, limit])?;
        let mut messages = Vec::new();
        let mut weight = 0_usize;
        while let Some(row) = rows.next()? {
            let message = Message {
                id: row.get(0)?,
                ticks: Ticks::new(row.get(1)?),
                author: row.get(2)?,
                text: row.get(3)?,
            };
            weight = weight.saturating_add(weigh(&message));
            if weight > budget && !messages.is_empty() {
                break;
            }
            messages.push(message);
        }
        messages.reverse();
        Ok(messages)
    }
}
