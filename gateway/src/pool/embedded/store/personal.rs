//! What the pool keeps for a user: preferences and invitations.

use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreError};
use crate::pool::embedded::model::RoomKey;

impl Store {
    /// A user's preference of this label: its number and its content.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::pool::embedded) fn preference(
        &self,
        user: &str,
        label: &str,
    ) -> Result<Option<(i64, String)>, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT seq, content FROM preference WHERE user = ? AND label = ?")?
            .query_row([user, label], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?)
    }

    /// How many labels a user has.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::pool::embedded) fn preference_count(
        &self,
        user: &str,
    ) -> Result<u32, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT count(*) FROM preference WHERE user = ?")?
            .query_row([user], |row| row.get(0))?)
    }

    /// Writes a preference as part of the batch.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the batch is lost then.
    pub(in crate::pool::embedded) fn set_preference(
        &mut self,
        user: &str,
        label: &str,
        seq: i64,
        content: &str,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO preference (user, label, seq, content) VALUES (?, ?, ?, ?)
                     ON CONFLICT (user, label)
                     DO UPDATE SET seq = excluded.seq, content = excluded.content",
                )?
                .execute(params![user, label, seq, content])
                .map(drop)
        })
    }

    /// A user's invitations with a number above `after`, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::pool::embedded) fn invitations(
        &self,
        user: &str,
        after: i64,
    ) -> Result<Vec<(i64, RoomKey)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, room FROM invitation WHERE user = ? AND id > ? ORDER BY id",
        )?;
        let rows = statement.query_map(params![user, after], |row| {
            Ok((row.get(0)?, RoomKey(row.get(1)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
