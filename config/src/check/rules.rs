//! Rules and tests of all files together: unique names, and whether what they name is there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::Checker;
use crate::diagnostic::Source;
use crate::names::{ListenerName, PoolName, Region, RuleName};
use crate::raw;
use crate::reader::{Key, List};
use crate::rulefile::{Block, CaseDraft, Content, Draft, RuleFile, UserList};
use crate::rules::{Case, Rule, Test};
use crate::{codes, suggest};

/// The files that hold rules, in the order in which these are tried, and the users that they name by file.
#[derive(Debug, Default)]
pub(crate) struct RuleFiles {
    pub(crate) files: Vec<Arc<RuleFile>>,
    /// What became of each file of users. A file that is not here was not looked for.
    pub(crate) users: HashMap<PathBuf, Result<Arc<UserList>, Unread>>,
}

/// Why a file of users could not be read, so that it can follow the file's name.
#[derive(Debug)]
pub(crate) struct Unread {
    code: &'static str,
    problem: String,
    help: Option<&'static str>,
}

impl Unread {
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self {
                code: codes::FILE_MISSING,
                problem: "does not exist".to_owned(),
                help: Some("relative paths start at the folder of the configuration file"),
            },
            kind => Self {
                code: codes::FILE_UNREADABLE,
                problem: format!("cannot be read: {error}"),
                help: (kind == io::ErrorKind::InvalidData).then_some("save the file as UTF-8"),
            },
        }
    }
}

/// What rules may name. `None`: not all are known, so that nothing can be said.
struct Known<'r> {
    pools: Option<HashMap<&'r str, Option<&'r Region>>>,
    listeners: Option<Vec<&'r str>>,
}

impl<'r> Known<'r> {
    fn new(raw: &'r raw::Root) -> Self {
        Self {
            pools: pools(&raw.pool),
            listeners: listeners(&raw.listener),
        }
    }
}

fn pools(key: &Key<List<raw::Pool>>) -> Option<HashMap<&str, Option<&Region>>> {
    let list = key.get().filter(|list| list.complete)?;
    let pools = list.elements.iter().map(|pool| {
        let pool = pool.get_ref();
        let region = (!pool.region.is_bad()).then(|| pool.region.get())?;
        Some((pool.name.get()?.as_str(), region))
    });
    pools.collect()
}

fn listeners(key: &Key<List<raw::Listener>>) -> Option<Vec<&str>> {
    let list = key.get().filter(|list| list.complete)?;
    let listeners = list
        .elements
        .iter()
        .map(|listener| listener.get_ref().name.get().map(ListenerName::as_str));
    listeners.collect()
}

/// Where each name stands first.
type Seen<'f> = HashMap<&'f RuleName, (&'f RuleFile, &'f Block, &'f Range<usize>)>;

impl Checker<'_> {
    /// All rules and tests that are right, in order.
    pub(super) fn rules(
        &mut self,
        raw: &raw::Root,
        given: &RuleFiles,
    ) -> (Vec<Arc<Rule>>, Vec<Arc<Case>>) {
        let known = Known::new(raw);
        let mut rule_names: Seen<'_> = HashMap::new();
        let mut case_names: Seen<'_> = HashMap::new();
        let count = given.files.iter().map(|file| file.len()).sum();
        let mut rules = Vec::with_capacity(count);
        rule_names.reserve(count);
        for file in &given.files {
            self.faults.append(file.faults());
            for block in file.blocks() {
                let source = file.source(block);
                let Content {
                    names,
                    case_names: cases,
                    ..
                } = &*block.content;
                self.unique("rules", names, (file, block), &mut rule_names);
                self.unique("tests", cases, (file, block), &mut case_names);
                for draft in &block.content.rules {
                    self.names_of_rule(draft, &source, &known);
                    rules.push(self.with_users(draft, &source, given));
                }
            }
        }
        let mut cases = Vec::new();
        for file in &given.files {
            for block in file.blocks() {
                let source = file.source(block);
                for draft in &block.content.cases {
                    self.names_of_case(draft, &source, &known, &rule_names);
                    cases.push(Arc::new(draft.case.clone()));
                }
            }
        }
        let mut told = Vec::new();
        for path in given.files.iter().flat_map(|file| user_files(file)) {
            let path = path.within(self.base);
            if let Some(Ok(list)) = given.users.get(&path)
                && !told.contains(&path)
            {
                self.faults.append(list.faults().clone());
                told.push(path);
            }
        }
        (rules, cases)
    }

    fn unique<'f>(
        &mut self,
        what: &str,
        names: &'f [(RuleName, Range<usize>)],
        (file, block): (&'f RuleFile, &'f Block),
        seen: &mut Seen<'f>,
    ) {
        for (name, span) in names {
            match seen.entry(name) {
                Entry::Occupied(first) => {
                    let (first_file, first_block, first_span) = *first.get();
                    let line = first_file.source(first_block).line(first_span.start);
                    let fault = file.source(block).error(
                        codes::DUPLICATE_NAME,
                        span.clone(),
                        format!("two {what} have the name `{name}`"),
                    );
                    self.faults.push(fault.help(format!(
                        "the other is at {}:{line}; names must differ",
                        first_file.name()
                    )));
                }
                Entry::Vacant(free) => {
                    free.insert((file, block, span));
                }
            }
        }
    }

    fn names_of_rule(&mut self, draft: &Draft, source: &Source<'_>, known: &Known<'_>) {
        for (pool, span) in &draft.pools {
            self.known_pool(pool, span, source, known);
        }
        if let Some((region, span)) = &draft.region {
            self.known_region(region, span, source, known);
            for (pool, span) in &draft.pools {
                self.in_region(pool, region, span, source, known);
            }
        }
        for (condition, spans) in draft.rule.when.iter().zip(&draft.conditions) {
            if let Test::Listener(listeners) = &condition.test {
                for (listener, span) in listeners.iter().zip(&spans.elements) {
                    self.known_listener(listener, span, source, known);
                }
            }
        }
    }

    fn names_of_case(
        &mut self,
        draft: &CaseDraft,
        source: &Source<'_>,
        known: &Known<'_>,
        rules: &Seen<'_>,
    ) {
        for (pool, span) in &draft.pools {
            self.known_pool(pool, span, source, known);
        }
        if let Some((region, span)) = &draft.region {
            self.known_region(region, span, source, known);
        }
        if let Some((listener, span)) = &draft.listener {
            self.known_listener(listener, span, source, known);
        }
        if let Some((rule, span)) = &draft.rule
            && !rules.contains_key(rule)
        {
            let fault = source.error(
                codes::UNKNOWN_RULE,
                span.clone(),
                format!("there is no rule `{rule}`"),
            );
            let names = rules.keys().map(|name| name.as_str());
            let help = match suggest::nearest(rule.as_str(), names) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "`holdover rules list` shows all rules".to_owned(),
            };
            self.faults.push(fault.label("unknown rule").help(help));
        }
    }

    fn known_pool(
        &mut self,
        pool: &PoolName,
        span: &Range<usize>,
        source: &Source<'_>,
        known: &Known<'_>,
    ) {
        let Some(pools) = &known.pools else { return };
        if !pools.contains_key(pool.as_str()) {
            let fault = source.error(
                codes::UNKNOWN_POOL,
                span.clone(),
                format!("there is no pool `{pool}`"),
            );
            let mut words: Vec<&str> = pools.keys().copied().collect();
            words.sort_unstable();
            let help = suggest::help(pool.as_str(), &words, "the pools are");
            self.faults.push(fault.label("unknown pool").help(help));
        }
    }

    fn known_listener(
        &mut self,
        listener: &ListenerName,
        span: &Range<usize>,
        source: &Source<'_>,
        known: &Known<'_>,
    ) {
        let Some(listeners) = &known.listeners else {
            return;
        };
        if !listeners.contains(&listener.as_str()) {
            let fault = source.error(
                codes::UNKNOWN_LISTENER,
                span.clone(),
                format!("there is no listener `{listener}`"),
            );
            let help = suggest::help(listener.as_str(), listeners, "the listeners are");
            self.faults.push(fault.label("unknown listener").help(help));
        }
    }

    fn known_region(
        &mut self,
        region: &Region,
        span: &Range<usize>,
        source: &Source<'_>,
        known: &Known<'_>,
    ) {
        let Some(pools) = &known.pools else { return };
        let mut regions: Vec<&str> = pools
            .values()
            .filter_map(|region| region.map(Region::as_str))
            .collect();
        regions.sort_unstable();
        regions.dedup();
        if !regions.contains(&region.as_str()) {
            let fault = source.error(
                codes::UNKNOWN_REGION,
                span.clone(),
                format!("no pool is in the region `{region}`"),
            );
            let help = if regions.is_empty() {
                format!("add `region = \"{region}\"` to the `[[pool]]` tables of its pools")
            } else {
                suggest::help(region.as_str(), &regions, "the regions are")
            };
            self.faults.push(fault.label("unknown region").help(help));
        }
    }

    fn in_region(
        &mut self,
        pool: &PoolName,
        region: &Region,
        span: &Range<usize>,
        source: &Source<'_>,
        known: &Known<'_>,
    ) {
        let found = known
            .pools
            .as_ref()
            .and_then(|pools| pools.get(pool.as_str()));
        if let Some(of_pool) = found
            && *of_pool != Some(region)
        {
            let message = format!("the pool `{pool}` is not in the region `{region}`");
            let fault = source.error(codes::OUTSIDE_REGION, span.clone(), message);
            let label = match of_pool {
                Some(other) => format!("it is in `{other}`"),
                None => "it is in no region".to_owned(),
            };
            self.faults.push(
                fault
                    .label(label)
                    .help("name a pool of the region, or remove `region`"),
            );
        }
    }

    /// The rule with the users of its files.
    fn with_users(&mut self, draft: &Draft, source: &Source<'_>, given: &RuleFiles) -> Arc<Rule> {
        if draft.user_files.is_empty() {
            return Arc::clone(&draft.rule);
        }
        let mut rule = Rule::clone(&draft.rule);
        for (number, path) in &draft.user_files {
            let full = path.get_ref().within(self.base);
            let users = match given.users.get(&full) {
                None => continue,
                Some(Ok(list)) => Arc::clone(list.users()),
                Some(Err(unread)) => {
                    let problem = &unread.problem;
                    let message = format!("the file of users `{}` {problem}", full.display());
                    let fault = source.error(unread.code, path.span(), message);
                    self.faults.push(match unread.help {
                        Some(help) => fault.help(help),
                        None => fault,
                    });
                    continue;
                }
            };
            if let Some(condition) = rule.when.get_mut(*number)
                && let Test::User(test) = &mut condition.test
                && let Some(file) = &mut test.file
            {
                file.users = users;
            }
        }
        Arc::new(rule)
    }
}

/// The user files that the rules of a file name, as they are written.
pub(crate) fn user_files(file: &RuleFile) -> impl Iterator<Item = &crate::names::FilePath> {
    file.rules()
        .flat_map(|(_, draft)| draft.user_files.iter().map(|(_, path)| path.get_ref()))
}
