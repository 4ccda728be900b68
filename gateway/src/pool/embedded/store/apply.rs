//! Writing what a load file states.
//!
//! A load file is the truth about the categories and rooms it names and says nothing about others. What it names is
//! made or brought in line; nothing is ever removed. History is written only into rooms that have none, so that loading
//! a file again changes nothing.

use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::{Store, StoreError, new_guid};
use crate::pool::embedded::model::{Principal, Privacy, RoomType};
use crate::pool::embedded::ticks::Ticks;

/// Everything one load file states, checked.
#[derive(Debug, Default)]
pub(in crate::pool::embedded) struct LoadPlan {
    pub(in crate::pool::embedded) categories: Vec<CategoryPlan>,
    pub(in crate::pool::embedded) rooms: Vec<RoomPlan>,
}

/// One category to make or bring in line.
#[derive(Debug)]
pub(in crate::pool::embedded) struct CategoryPlan {
    /// Identifier; `None` keeps the one it has or makes one.
    pub(in crate::pool::embedded) value: Option<String>,
    pub(in crate::pool::embedded) name: String,
    pub(in crate::pool::embedded) description: String,
    pub(in crate::pool::embedded) allowed: Vec<Principal>,
    pub(in crate::pool::embedded) denied: Vec<Principal>,
    pub(in crate::pool::embedded) creators: Vec<Principal>,
}

/// One room to make or bring in line.
#[derive(Debug)]
pub(in crate::pool::embedded) struct RoomPlan {
    /// Identifier; `None` finds the room by name or makes one.
    pub(in crate::pool::embedded) value: Option<String>,
    pub(in crate::pool::embedded) name: String,
    pub(in crate::pool::embedded) description: String,
    /// Name of its category.
    pub(in crate::pool::embedded) category: String,
    pub(in crate::pool::embedded) privacy: Privacy,
    pub(in crate::pool::embedded) kind: RoomType,
    pub(in crate::pool::embedded) disabled: bool,
    pub(in crate::pool::embedded) invitations: bool,
    pub(in crate::pool::embedded) members: Vec<Principal>,
    pub(in crate::pool::embedded) managers: Vec<Principal>,
    pub(in crate::pool::embedded) presenters: Vec<Principal>,
    /// Oldest first.
    pub(in crate::pool::embedded) messages: Vec<MessagePlan>,
}

/// One message of a room's history.
#[derive(Debug)]
pub(in crate::pool::embedded) struct MessagePlan {
    pub(in crate::pool::embedded) author: String,
    pub(in crate::pool::embedded) text: String,
    /// When it was said; one step after the one before it where that is not known or not later.
    pub(in crate::pool::embedded) at: Option<Ticks>,
}

impl Store {
    /// Writes a whole load file, or nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; a name that another room already has is a failure here, and a diagnostic before
    /// ([`super::super::load`] looks first).
    pub(in crate::pool::embedded) fn apply(
        &mut self,
        plan: &LoadPlan,
        now: Ticks,
    ) -> Result<(), StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for category in &plan.categories {
            apply_category(&transaction, category)?;
        }
        for room in &plan.rooms {
            apply_room(&transaction, room, now)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

/// Names are compared without regard to case.
fn folded(name: &str) -> String {
    name.to_lowercase()
}

fn apply_category(transaction: &Transaction<'_>, plan: &CategoryPlan) -> Result<(), StoreError> {
    let known: Option<i64> = match &plan.value {
        Some(value) => transaction
            .query_row("SELECT key FROM category WHERE value = ?", [value], |row| {
                row.get(0)
            })
            .optional()?,
        None => None,
    };
    let known = match known {
        Some(key) => Some(key),
        None => transaction
            .query_row(
                "SELECT key FROM category WHERE folded = ?",
                [folded(&plan.name)],
                |row| row.get(0),
            )
            .optional()?,
    };
    let key = match known {
        Some(key) => {
            transaction.execute(
                "UPDATE category SET value = coalesce(?, value), name = ?, folded = ?, description = ?
                 WHERE key = ?",
                params![plan.value, plan.name, folded(&plan.name), plan.description, key],
            )?;
            key
        }
        None => {
            transaction.execute(
                "INSERT INTO category (value, name, folded, description) VALUES (?, ?, ?, ?)",
                params![
                    plan.value.clone().unwrap_or_else(new_guid),
                    plan.name,
                    folded(&plan.name),
                    plan.description
                ],
            )?;
            transaction.last_insert_rowid()
        }
    };
    transaction.execute("DELETE FROM category_principal WHERE category = ?", [key])?;
    for (role, list) in [
        ("allowed", &plan.allowed),
        ("denied", &plan.denied),
        ("creator", &plan.creators),
    ] {
        for principal in list {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO category_principal VALUES (?, ?, ?)")?
                .execute(params![key, role, principal.to_string()])?;
        }
    }
    Ok(())
}

fn apply_room(
    transaction: &Transaction<'_>,
    plan: &RoomPlan,
    now: Ticks,
) -> Result<(), StoreError> {
    let known: Option<i64> = match &plan.value {
        Some(value) => transaction
            .query_row("SELECT key FROM room WHERE value = ?", [value], |row| {
                row.get(0)
            })
            .optional()?,
        None => transaction
            .query_row(
                "SELECT key FROM room WHERE folded = ?",
                [folded(&plan.name)],
                |row| row.get(0),
            )
            .optional()?,
    };
    let category: i64 = transaction
        .query_row(
            "SELECT key FROM category WHERE folded = ?",
            [folded(&plan.category)],
            |row| row.get(0),
        )
        .optional()?
        .ok_or(StoreError::Corrupt { what: "category" })?;
    let key = match known {
        Some(key) => key,
        None => {
            transaction.execute(
                "INSERT INTO room (value, name, folded, description, category, privacy, type, disabled, invitations)
                 VALUES (?, ?, ?, '', ?, 'closed', 'normal', 0, 0)",
                params![
                    plan.value.clone().unwrap_or_else(new_guid),
                    plan.name,
                    folded(&plan.name),
                    category
                ],
            )?;
            transaction.last_insert_rowid()
        }
    };
    transaction.execute(
        "UPDATE room SET name = ?, folded = ?, description = ?, category = ?, privacy = ?, type = ?,
                         disabled = ?, invitations = ?
         WHERE key = ?",
        params![
            plan.name,
            folded(&plan.name),
            plan.description,
            category,
            plan.privacy.as_str(),
            plan.kind.as_str(),
            plan.disabled,
            plan.invitations,
            key
        ],
    )?;
    transaction.execute("DELETE FROM room_principal WHERE room = ?", [key])?;
    for (role, list) in [
        ("member", &plan.members),
        ("manager", &plan.managers),
        ("presenter", &plan.presenters),
    ] {
        for principal in list {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO room_principal VALUES (?, ?, ?)")?
                .execute(params![key, role, principal.to_string()])?;
        }
    }
    if plan.invitations {
        invite(transaction, key, plan)?;
    }
    apply_history(transaction, key, &plan.messages, now)
}

/// Invites each named member and manager once. Patterns name nobody who could be invited.
fn invite(transaction: &Transaction<'_>, room: i64, plan: &RoomPlan) -> Result<(), StoreError> {
    for principal in plan.members.iter().chain(&plan.managers) {
        let Principal::User(user) = principal else {
            continue;
        };
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO invitation (user, id, room)
                 VALUES (?1, (SELECT coalesce(max(id), 0) + 1 FROM invitation WHERE user = ?1), ?2)",
            )?
            .execute(params![user.as_str(), room])?;
    }
    Ok(())
}

fn apply_history(
    transaction: &Transaction<'_>,
    room: i64,
    messages: &[MessagePlan],
    now: Ticks,
) -> Result<(), StoreError> {
    let written: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM message WHERE room = ?)",
        [room],
        |row| row.get(0),
    )?;
    if written {
        return Ok(());
    }
    let mut at: Option<Ticks> = None;
    for (id, message) in (1_i64..).zip(messages) {
        let this = match at {
            Some(last) => message.at.unwrap_or_default().max(last.next()),
            None => message.at.unwrap_or(now),
        };
        transaction
            .prepare_cached(
                "INSERT INTO message (room, id, ticks, author, text) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![room, id, this.get(), message.author, message.text])?;
        at = Some(this);
    }
    Ok(())
}
