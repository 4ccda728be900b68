//! The directory: which rooms, and which pool for those that name none.

use std::collections::HashMap;

use toml::Spanned;

use super::Checker;
use crate::diagnostic::{Diagnostic, Severity};
use crate::environment::Role;
use crate::names::{FilePath, PoolName};
use crate::raw;
use crate::reader::{Key, List};
use crate::settings::{Directory, Unlisted};
use crate::{codes, suggest};

impl Checker<'_> {
    pub(super) fn directory(
        &mut self,
        key: &Key<raw::Directory>,
        pool_key: &Key<List<raw::Pool>>,
    ) -> Option<Directory> {
        let pools = pool_key.elements();
        let names: Vec<&PoolName> = pools
            .iter()
            .filter_map(|pool| pool.get_ref().name.get())
            .collect();
        let complete = pool_key.get().is_some_and(|list| list.complete);
        let all_named = complete && names.len() == pools.len() && !pools.is_empty();
        let only_pool = match names.as_slice() {
            &[only] if all_named => Some(only.clone()),
            _ => None,
        };
        if key.is_bad() {
            return None;
        }
        let Some(raw) = key.get() else {
            self.faults
                .push(self.no_rooms("there is no `[directory]`: every room is refused"));
            return Some(Directory {
                rooms: Vec::new(),
                unlisted: Unlisted::Refuse,
                default_pool: only_pool,
                preferences_pool: None,
            });
        };

        if all_named {
            for key in [&raw.default_pool, &raw.preferences_pool] {
                self.named_pool(key, &names);
            }
        }
        let default_pool = raw.default_pool.get().cloned().or(only_pool);

        let same_id = raw
            .unlisted
            .given()
            .filter(|word| *word.get_ref() == raw::UnlistedWord::SameId);
        if let Some(given) =
            same_id.filter(|_| all_named && default_pool.is_none() && raw.default_pool.is_absent())
        {
            let message =
                "`unlisted = \"same-id\"` needs `default_pool` where there are several pools";
            let words: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            let fault = self
                .source
                .error(codes::DEFAULT_POOL_MISSING, given.span(), message);
            self.faults.push(fault.help(format!(
                "add `default_pool` with one of {}",
                suggest::list(&words)
            )));
        }
        if same_id.is_none() && raw.rooms.is_empty() && !raw.unlisted.is_bad() {
            self.faults
                .push(self.no_rooms("`[directory]` lists no rooms and refuses unlisted ones"));
        }
        self.unique_room_files(raw.rooms.elements());

        let unlisted = match same_id {
            Some(_) => Unlisted::SameId(default_pool.clone()?),
            None => Unlisted::Refuse,
        };
        let rooms = raw
            .rooms
            .elements()
            .iter()
            .map(|path| self.file(path, Role::Rooms))
            .collect();
        Some(Directory {
            rooms,
            unlisted,
            default_pool,
            preferences_pool: raw.preferences_pool.get().cloned(),
        })
    }

    fn named_pool(&mut self, key: &Key<PoolName>, names: &[&PoolName]) {
        let Some(given) = key
            .given()
            .filter(|given| !names.contains(&given.get_ref()))
        else {
            return;
        };
        let pool = given.get_ref();
        let fault = self.source.error(
            codes::UNKNOWN_POOL,
            given.span(),
            format!("there is no pool `{pool}`"),
        );
        let words: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        self.faults
            .push(fault.label("unknown pool").help(suggest::help(
                pool.as_str(),
                &words,
                "the pools are",
            )));
    }

    fn no_rooms(&self, message: &str) -> Diagnostic {
        Diagnostic::whole_file(
            Severity::Warning,
            codes::NO_ROOMS,
            self.source.name().clone(),
            message,
        )
        .help("name the CSV files in `rooms`, or set `unlisted = \"same-id\"`")
    }

    fn unique_room_files(&mut self, files: &[Spanned<FilePath>]) {
        let mut seen = HashMap::new();
        for file in files {
            if let Some(first) = seen.insert(file.get_ref().within(self.base), file.span()) {
                let fault = self.source.error(
                    codes::DUPLICATE_FILE,
                    file.span(),
                    "the file is listed twice",
                );
                self.faults.push(fault.help(format!(
                    "it already stands in line {}; remove one",
                    self.line(first)
                )));
            }
        }
    }
}
