//! Switching a rule on or off in its file, as a person would: nothing else changes.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::file::{self, replace, without_mark};
use crate::load::{load, read_text};
use crate::raw;
use crate::rulefile::{self, RuleFile};
use crate::rules::{Place, Rule};
use crate::users::unwritable;
use crate::{codes, suggest};

/// A rule that is as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toggled {
    /// Where the rule stands.
    pub place: Place,
    /// How its file was changed. `None`: the rule was like that before.
    pub edit: Option<Edit>,
}

/// A file as it was and as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Its text before.
    pub before: String,
    /// Its text after.
    pub after: String,
}

/// Why a rule was left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToggleError {
    /// The configuration is wrong, before or after: it stays as it is.
    Wrong(Diagnostics),
    /// No rule has the name. Holds one that may be meant.
    Unknown(Option<String>),
}

impl fmt::Display for ToggleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(faults) => fmt::Display::fmt(faults, f),
            Self::Unknown(Some(near)) => write!(f, "there is no such rule; did you mean `{near}`?"),
            Self::Unknown(None) => f.write_str("there is no such rule"),
        }
    }
}

impl std::error::Error for ToggleError {}

impl From<Diagnostic> for ToggleError {
    fn from(fault: Diagnostic) -> Self {
        Self::Wrong(fault.into())
    }
}

/// Enables or disables the rule `name` of the configuration `config` in the file that it stands in. That file is written
/// aside and renamed, so that nobody ever reads half of it.
///
/// # Errors
/// [`ToggleError`]; then nothing was changed.
pub fn toggle(config: &Path, name: &str, enabled: bool) -> Result<Toggled, ToggleError> {
    let name_of_config = config.display().to_string();
    let _alone = file::alone(config).map_err(|error| unwritable(&name_of_config, &error))?;
    let loaded = load(config).map_err(ToggleError::Wrong)?;
    let rules = &loaded.settings.live.rules;
    let Some(rule) = rules.iter().find(|rule| rule.name.as_str() == name) else {
        let names = rules.iter().map(|rule| rule.name.as_str());
        return Err(ToggleError::Unknown(
            suggest::nearest(name, names).map(str::to_owned),
        ));
    };
    let place = rule.place.clone();
    if rule.enabled == enabled {
        return Ok(Toggled { place, edit: None });
    }
    let path = PathBuf::from(&*place.file);
    let whole = read_text(&path)?;
    let text = without_mark(&whole);
    let is_main = path == config;
    let before = read(&place.file, text, is_main);
    let edited = edit(&before, text, name, enabled);
    // It may have been changed by somebody else since it was loaded.
    let edited = edited.filter(|edited| {
        let after = read(&place.file, edited, is_main);
        after.faults().is_empty() && differ_in(&before, &after, name, enabled)
    });
    let Some(edited) = edited else {
        return Err(not_editable(&place).into());
    };
    let mark = whole.strip_suffix(text).unwrap_or_default();
    let edited = format!("{mark}{edited}");
    replace(&path, edited.as_bytes()).map_err(|error| unwritable(&place.file, &error))?;
    Ok(Toggled {
        place,
        edit: Some(Edit {
            before: whole,
            after: edited,
        }),
    })
}

fn not_editable(place: &Place) -> Diagnostic {
    Diagnostic::whole_file(
        Severity::Error,
        codes::SYNTAX,
        &*place.file,
        "the rule cannot be edited: the file changes at the same time",
    )
    .help("try again")
}

fn read(name: &str, text: &str, is_main: bool) -> RuleFile {
    if is_main {
        rulefile::read::<raw::Root>(name, text, None).2
    } else {
        RuleFile::parse(name, text)
    }
}

/// The text with the one change.
fn edit(file: &RuleFile, text: &str, name: &str, enabled: bool) -> Option<String> {
    let (block, draft) = file
        .rules()
        .find(|(_, draft)| draft.rule.name.as_str() == name)?;
    let (at, inserted): (Range<usize>, String) = match &draft.enabled {
        Some(span) => (block.in_file(span), enabled.to_string()),
        None => {
            let name = block.in_file(&draft.name);
            let heading = block.in_file(&draft.heading);
            if text.get(heading)?.starts_with('{') {
                (name.end..name.end, format!(", enabled = {enabled}"))
            } else {
                below(text, &name, enabled)?
            }
        }
    };
    let mut edited = String::with_capacity(text.len() + inserted.len());
    edited.push_str(text.get(..at.start)?);
    edited.push_str(&inserted);
    edited.push_str(text.get(at.end..)?);
    Some(edited)
}

/// A line below the name, indented and ended like it.
fn below(text: &str, name: &Range<usize>, enabled: bool) -> Option<(Range<usize>, String)> {
    let start = text.get(..name.start)?.rfind('\n').map_or(0, |at| at + 1);
    let indent: String = text
        .get(start..)?
        .chars()
        .take_while(|c| matches!(c, ' ' | '\t'))
        .collect();
    let rest = text.get(name.end..)?;
    Some(match rest.find('\n') {
        Some(at) => {
            let end = if rest.get(..at)?.ends_with('\r') {
                "\r\n"
            } else {
                "\n"
            };
            let next = name.end + at + 1;
            (next..next, format!("{indent}enabled = {enabled}{end}"))
        }
        None => (
            text.len()..text.len(),
            format!("\n{indent}enabled = {enabled}\n"),
        ),
    })
}

/// Whether two versions of a file have the same rules, but for the one, which is as it shall be in the second.
fn differ_in(before: &RuleFile, after: &RuleFile, name: &str, enabled: bool) -> bool {
    let rules = |file: &RuleFile, switched: bool| -> Vec<Rule> {
        file.rules()
            .map(|(_, draft)| {
                let mut rule = Rule::clone(&draft.rule);
                rule.place.line = 0;
                if switched && rule.name.as_str() == name {
                    rule.enabled = enabled;
                }
                for condition in &mut rule.when {
                    if let crate::rules::Test::User(users) = &mut condition.test
                        && let Some(file) = &mut users.file
                    {
                        file.place.line = 0;
                    }
                }
                rule
            })
            .collect()
    };
    rules(before, true) == rules(after, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, name: &str, enabled: bool) -> String {
        edit(&RuleFile::parse("r.toml", text), text, name, enabled).unwrap()
    }

    #[test]
    fn only_the_value_changes() {
        let text = "# Rules\n\n[[rule]]   # the first\nname = \"a\"\nenabled   =  true   # since May\nthen = { pool = \"hq\" }\n\n\
                    [[rule]]\nname = \"b\"\nthen = { pool = \"hq\" }\nenabled = false\n";
        assert_eq!(
            edited(text, "a", false),
            text.replace("=  true ", "=  false ")
        );
        assert_eq!(
            edited(text, "b", true),
            text.replace("enabled = false", "enabled = true")
        );
    }

    #[test]
    fn a_rule_that_does_not_say_gets_a_line_below_its_name() {
        for (text, expected) in [
            (
                "[[rule]]\n  name = \"a\" # first\n  then = { pool = \"hq\" }\n",
                "[[rule]]\n  name = \"a\" # first\n  enabled = false\n  then = { pool = \"hq\" }\n",
            ),
            (
                "[[rule]]\r\nthen = { pool = \"hq\" }\r\nname = \"a\"\r\n",
                "[[rule]]\r\nthen = { pool = \"hq\" }\r\nname = \"a\"\r\nenabled = false\r\n",
            ),
            (
                "[[rule]]\nthen = { pool = \"hq\" }\nname = \"a\"",
                "[[rule]]\nthen = { pool = \"hq\" }\nname = \"a\"\nenabled = false\n",
            ),
            (
                "rule = [{ name = \"a\", then = { pool = \"hq\" } }]\n",
                "rule = [{ name = \"a\", enabled = false, then = { pool = \"hq\" } }]\n",
            ),
            (
                "[[rule]]\nname = \"a\"\n[rule.then]\npool = \"hq\"\n",
                "[[rule]]\nname = \"a\"\nenabled = false\n[rule.then]\npool = \"hq\"\n",
            ),
        ] {
            assert_eq!(edited(text, "a", false), expected);
        }
    }
}
