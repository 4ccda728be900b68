//! From the text of a load file to a plan, with every fault on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdover_config::Diagnostics;
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::Timestamp;
use toml::de::DeTable;

use super::codes;
use super::table::{At, Reader, Table};
use crate::pool::embedded::MESSAGE_LIMIT;
use crate::pool::embedded::model::{
    Category, NAME_CHARACTERS, Principal, Principals, Privacy, RoomType,
};
use crate::pool::embedded::store::{
    CategoryPlan, LoadPlan, MessagePlan, RoomPlan, Store, StoreError,
};
use crate::pool::embedded::ticks::Ticks;

/// What the pool has already.
#[derive(Debug, Default)]
pub(super) struct Existing {
    /// By folded name.
    categories: BTreeMap<String, Arc<Category>>,
    /// Identifier by folded name.
    rooms: BTreeMap<String, String>,
}

impl Existing {
    /// Reads it from the database.
    pub(super) fn read(store: &Store) -> Result<Self, StoreError> {
        let categories = store.categories()?;
        Ok(Self {
            categories: categories
                .into_values()
                .map(|category| (folded(&category.name), category))
                .collect(),
            rooms: store
                .rooms()?
                .into_iter()
                .map(|room| (folded(&room.name), room.value))
                .collect(),
        })
    }
}

/// Reads and checks a whole load file.
///
/// # Errors
///
/// All faults, with warnings, if one of them is an error. The other way round the warnings come with the plan.
pub(super) fn read(
    name: &str,
    text: &str,
    existing: &Existing,
) -> Result<(LoadPlan, Diagnostics), Diagnostics> {
    let mut reader = Reader::new(name, text);
    let (document, errors) = DeTable::parse_recoverable(reader.text());
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        reader.error(codes::SYNTAX, span, error.message().to_owned());
    }
    // A broken line may have lost a key: faults that follow from it would only mislead.
    if reader.faults.has_errors() {
        return Err(reader.faults);
    }
    let mut root = Table::new("load file", document.span(), document.get_ref());
    let categories = root.tables("category", "category", &mut reader);
    let rooms = root.tables("room", "room", &mut reader);
    root.finish(&mut reader);

    let mut check = Check {
        reader,
        existing,
        scopes: existing.categories.clone(),
        names: BTreeSet::new(),
        values: BTreeSet::new(),
    };
    let plan = LoadPlan {
        categories: check.categories(categories),
        rooms: check.rooms(rooms),
    };
    let mut faults = check.reader.faults;
    faults.sort();
    if faults.has_errors() {
        Err(faults)
    } else {
        Ok((plan, faults))
    }
}

/// Names are compared without regard to case.
fn folded(name: &str) -> String {
    name.to_lowercase()
}

struct Check<'t, 'e> {
    reader: Reader<'t>,
    existing: &'e Existing,
    /// The categories as they will be, by folded name.
    scopes: BTreeMap<String, Arc<Category>>,
    /// Rooms of this file, by folded name.
    names: BTreeSet<String>,
    /// Identifiers that rooms of this file state.
    values: BTreeSet<String>,
}

impl Check<'_, '_> {
    fn categories(&mut self, tables: Vec<Table<'_>>) -> Vec<CategoryPlan> {
        let mut seen = BTreeSet::new();
        let mut values = BTreeSet::new();
        let mut plans = Vec::new();
        for mut table in tables {
            let reader = &mut self.reader;
            let name = table.required_string("name", reader);
            let value = table.string("value", reader);
            let description = table.string("description", reader);
            let allowed = principals(table.strings("allowed", reader), reader);
            let denied = principals(table.strings("denied", reader), reader);
            let creators = principals(table.strings("creators", reader), reader);
            table.finish(reader);
            check_value(value.as_ref(), reader);
            check_text(description.as_ref(), "description", reader);
            let Some(name) = name.filter(|name| check_name(name, reader)) else {
                continue;
            };
            let first = seen.insert(folded(&name.value));
            if !first {
                let message = format!("the category `{}` is in this file already", name.value);
                reader.error(codes::DUPLICATE, name.span.clone(), message);
            }
            if let Some(value) = &value
                && !values.insert(value.value.clone())
            {
                let message = format!("another category has the value `{}`", value.value);
                reader.error(codes::DUPLICATE, value.span.clone(), message);
            }
            let allowed = match allowed {
                Some(list) => list.into_iter().map(|at| at.value).collect(),
                None => vec![Principal::Anyone],
            };
            let denied = values_of(denied);
            let scope = Category {
                name: name.value.as_str().into(),
                allowed: allowed.iter().cloned().collect(),
                denied: denied.iter().cloned().collect(),
            };
            if first {
                self.scopes.insert(folded(&name.value), Arc::new(scope));
            }
            plans.push(CategoryPlan {
                value: value.map(|at| at.value),
                name: name.value,
                description: description.map(|at| at.value).unwrap_or_default(),
                allowed,
                denied,
                creators: values_of(creators),
            });
        }
        plans
    }

    fn rooms(&mut self, tables: Vec<Table<'_>>) -> Vec<RoomPlan> {
        tables
            .into_iter()
            .filter_map(|table| self.room(table))
            .collect()
    }

    fn room(&mut self, mut table: Table<'_>) -> Option<RoomPlan> {
        let reader = &mut self.reader;
        let name = table.required_string("name", reader);
        let value = table.string("value", reader);
        let category = table.required_string("category", reader);
        let description = table.string("description", reader);
        let privacy = table.string("privacy", reader);
        let kind = table.string("type", reader);
        let disabled = table.boolean("disabled", false, reader);
        let invitations = table.boolean("invitations", true, reader);
        let members = principals(table.strings("members", reader), reader).unwrap_or_default();
        let managers = principals(table.strings("managers", reader), reader).unwrap_or_default();
        let presenters =
            principals(table.strings("presenters", reader), reader).unwrap_or_default();
        let messages = table.tables("message", "message", reader);
        table.finish(reader);

        check_value(value.as_ref(), reader);
        check_text(description.as_ref(), "description", reader);
        let privacy = choice(
            privacy,
            Privacy::Closed,
            Privacy::parse,
            "open, closed or secret",
            reader,
        );
        let kind = choice(
            kind,
            RoomType::Normal,
            RoomType::parse,
            "normal or auditorium",
            reader,
        );
        let messages = history(messages, reader);
        let name = name.filter(|name| check_name(name, reader));
        if let Some(value) = &value {
            self.check_value_is_new(value);
        }
        if let Some(name) = &name {
            self.check_name_is_free(name, value.as_ref(), category.as_ref());
        }
        let category = category?;
        let lists = [&members, &managers, &presenters];
        self.check_scope(&category, lists);
        self.check_presenters(privacy, kind, lists);
        Some(RoomPlan {
            value: value.map(|at| at.value),
            name: name?.value,
            description: description.map(|at| at.value).unwrap_or_default(),
            category: category.value,
            privacy,
            kind,
            disabled,
            invitations,
            members: values_of(Some(members)),
            managers: values_of(Some(managers)),
            presenters: values_of(Some(presenters)),
            messages,
        })
    }

    /// Identifiers are unique.
    fn check_value_is_new(&mut self, value: &At<String>) {
        if !self.values.insert(value.value.clone()) {
            let message = format!("another room has the value `{}`", value.value);
            self.reader
                .error(codes::DUPLICATE, value.span.clone(), message);
        }
    }

    /// Names are unique in a pool.
    fn check_name_is_free(
        &mut self,
        name: &At<String>,
        value: Option<&At<String>>,
        category: Option<&At<String>>,
    ) {
        let key = folded(&name.value);
        if category.is_some_and(|category| folded(&category.value) == key) {
            let message = format!("the room `{}` has the name of its category", name.value);
            self.reader
                .error(codes::DUPLICATE, name.span.clone(), message);
        }
        if !self.names.insert(key.clone()) {
            let message = format!("the room `{}` is in this file already", name.value);
            self.reader.error_with_help(
                codes::DUPLICATE,
                name.span.clone(),
                message,
                "the name of a room is unique in its pool, upper and lower case being the same",
            );
        }
        if let Some(value) = value
            && let Some(owner) = self.existing.rooms.get(&key)
            && *owner != value.value
        {
            let message = format!(
                "the pool has a room `{}` with the value `{owner}`",
                name.value
            );
            self.reader.error_with_help(
                codes::NAME_TAKEN,
                value.span.clone(),
                message,
                "the value of a room cannot change; use that one, or another name",
            );
        }
    }

    /// Deny lists and scopes of the category bind the rooms' lists. Patterns are left to be judged user by user.
    fn check_scope(&mut self, category: &At<String>, lists: [&Vec<At<Principal>>; 3]) {
        let Some(scope) = self.scopes.get(&folded(&category.value)).cloned() else {
            let known: Vec<&str> = self.scopes.values().map(|scope| &*scope.name).collect();
            let help = if known.is_empty() {
                "there are no categories; add one with [[category]]".to_owned()
            } else {
                format!("the categories are {}", known.join(", "))
            };
            let message = format!("there is no category `{}`", category.value);
            self.reader.error_with_help(
                codes::UNKNOWN_CATEGORY,
                category.span.clone(),
                message,
                help,
            );
            return;
        };
        for at in lists.into_iter().flatten() {
            if let Principal::User(user) = &at.value
                && !scope.permits(user)
            {
                let message = format!(
                    "the category `{}` does not allow {}",
                    scope.name,
                    user.as_str()
                );
                self.reader
                    .error(codes::NOT_ADMITTED, at.span.clone(), message);
            }
        }
    }

    /// A presenter must be able to get in, and is one only in an auditorium.
    fn check_presenters(
        &mut self,
        privacy: Privacy,
        kind: RoomType,
        [members, managers, presenters]: [&Vec<At<Principal>>; 3],
    ) {
        if let Some(first) = presenters.first()
            && kind == RoomType::Normal
        {
            let message = "presenters mean nothing in a room that is no auditorium".to_owned();
            self.reader
                .warning(codes::NO_EFFECT, first.span.clone(), message);
        }
        if privacy == Privacy::Open {
            return;
        }
        let inside: Principals = members
            .iter()
            .chain(managers)
            .map(|at| at.value.clone())
            .collect();
        for at in presenters {
            if let Principal::User(user) = &at.value
                && !inside.contains(user)
            {
                let message = format!("the presenter {} is no member", user.as_str());
                self.reader
                    .error(codes::NOT_ADMITTED, at.span.clone(), message);
            }
        }
    }
}

fn history(tables: Vec<Table<'_>>, reader: &mut Reader<'_>) -> Vec<MessagePlan> {
    let mut plans = Vec::new();
    let mut latest: Option<Ticks> = None;
    for mut table in tables {
        let author = table.required_string("author", reader);
        let text = table.required_string("text", reader);
        let at = table.moment("at", reader);
        table.finish(reader);
        let author = author.and_then(|author| {
            let user = UserUri::parse(&author.value).ok();
            if user.is_none() {
                let message = format!("`{}` is no user", author.value);
                reader.error_with_help(
                    codes::BAD_VALUE,
                    author.span,
                    message,
                    "write ann@contoso.com",
                );
            }
            user
        });
        let text = text.filter(|text| {
            let fits = !text.value.is_empty() && text.value.len() <= MESSAGE_LIMIT;
            if !fits {
                let message = format!("a message has 1 to {MESSAGE_LIMIT} bytes");
                reader.error(codes::BAD_VALUE, text.span.clone(), message);
            }
            fits
        });
        let at = at.and_then(|at| match at.value.parse::<Timestamp>() {
            Ok(moment) => {
                let ticks = Ticks::from(moment);
                if latest.is_some_and(|latest| ticks < latest) {
                    let message = "this message is earlier than the one before it".to_owned();
                    reader.error(codes::TIME_ORDER, at.span, message);
                }
                latest = Some(ticks);
                Some(ticks)
            }
            Err(_) => {
                let message = format!("`{}` is no time with an offset", at.value);
                reader.error_with_help(
                    codes::BAD_VALUE,
                    at.span,
                    message,
                    "write 2026-11-02T08:00:00Z",
                );
                None
            }
        });
        if let (Some(author), Some(text)) = (author, text) {
            plans.push(MessagePlan {
                author: author.as_str().to_owned(),
                text: text.value,
                at,
            });
        }
    }
    plans
}

fn principals(
    list: Option<Vec<At<String>>>,
    reader: &mut Reader<'_>,
) -> Option<Vec<At<Principal>>> {
    let mut principals = Vec::new();
    for at in list? {
        match Principal::parse(&at.value) {
            Some(value) => principals.push(At {
                value,
                span: at.span,
            }),
            None => reader.error_with_help(
                codes::BAD_VALUE,
                at.span,
                format!("`{}` is neither a user nor a pattern", at.value),
                "write ann@contoso.com, *@contoso.com, or * for everyone",
            ),
        }
    }
    Some(principals)
}

fn values_of(list: Option<Vec<At<Principal>>>) -> Vec<Principal> {
    list.unwrap_or_default()
        .into_iter()
        .map(|at| at.value)
        .collect()
}

fn choice<T>(
    text: Option<At<String>>,
    default: T,
    parse: impl Fn(&str) -> Option<T>,
    words: &str,
    reader: &mut Reader<'_>,
) -> T {
    let Some(text) = text else { return default };
    parse(&text.value).unwrap_or_else(|| {
        let message = format!("`{}` is not one of the words {words}", text.value);
        reader.error(codes::BAD_VALUE, text.span, message);
        default
    })
}

/// A name has 1 to 256 characters on one line.
fn check_name(name: &At<String>, reader: &mut Reader<'_>) -> bool {
    let blank = name.value.trim().is_empty() || name.value.trim() != name.value;
    if blank {
        let message = "a name is not empty and has no blanks around it".to_owned();
        reader.error(codes::BAD_VALUE, name.span.clone(), message);
    }
    check_text(Some(name), "name", reader) && !blank
}

/// Names and descriptions have a bounded length and no control characters.
fn check_text(text: Option<&At<String>>, what: &str, reader: &mut Reader<'_>) -> bool {
    let Some(text) = text else { return true };
    let characters = text.value.chars().count();
    let fits = characters <= NAME_CHARACTERS && !text.value.chars().any(char::is_control);
    if !fits {
        let message = format!(
            "a {what} has at most {NAME_CHARACTERS} characters and no line break; this one has {characters}"
        );
        reader.error(codes::BAD_VALUE, text.span.clone(), message);
    }
    fits
}

fn check_value(value: Option<&At<String>>, reader: &mut Reader<'_>) {
    if let Some(value) = value
        && let Err(error) = RoomUri::new("contoso.com", &value.value)
    {
        reader.error(
            codes::BAD_VALUE,
            value.span.clone(),
            format!("`{}` cannot be an identifier: {error}", value.value),
        );
    }
}
