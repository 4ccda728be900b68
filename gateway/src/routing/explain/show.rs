//! An explanation in a few lines.

use std::fmt;

use super::Explanation;
use crate::decision_log::ShownRule;

impl fmt::Display for ShownRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.source)
    }
}

/// What a user may or may not, in the words of a sentence.
fn phrase(act: &str) -> &str {
    match act {
        "sign-in" => "sign in",
        "post" => "post in",
        "download" => "fetch files in",
        "upload" => "send files in",
        other => other,
    }
}

impl fmt::Display for Explanation {
    /// Without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let may = if self.allowed { "may" } else { "may not" };
        write!(f, "{} {may} {}", self.asked.user, phrase(&self.asked.act))?;
        if let Some(room) = &self.asked.room {
            write!(f, " {room}")?;
        }
        let mut line = |name: &str, value: &dyn fmt::Display| write!(f, "\n  {name:<9} {value}");
        if let Some(reason) = self.reason {
            line("reason", &reason)?;
        }
        if let Some(text) = &self.text {
            line("is told", text)?;
        }
        match (&self.pool, &self.region) {
            (Some(pool), Some(region)) => line("pool", &format!("{pool}, in region {region}"))?,
            (Some(pool), None) => line("pool", pool)?,
            (None, _) => {}
        }
        if let Some(migrated) = &self.migrated {
            line("migrated", migrated)?;
        }
        match &self.rule {
            Some(deciding) => {
                line("by rule", &deciding.rule)?;
                for held in &deciding.held {
                    line("", &format!("holds: {held}"))?;
                }
            }
            None if self.asked.room.is_some() => line("by rule", &"none: the directory decides")?,
            None => line("by rule", &"none: what no rule forbids is allowed")?,
        }
        if let Some(overruled) = &self.overruled {
            line(
                "against",
                &format!("{overruled}, which was tried before the fence"),
            )?;
        }
        if let Some(nearest) = &self.nearest {
            line("nearest", &format!("{}, which did not match", nearest.rule))?;
            for failed in &nearest.failed {
                line("", &format!("fails: {failed}"))?;
            }
            if nearest.failed.is_empty() {
                line("", &format!("fails: it is not about `{}`", self.asked.act))?;
            }
        }
        if let Some(fence) = &self.fence {
            line("fence", &format!("{}, by {}", fence.region, fence.rule))?;
        }
        if let Some(notice) = &self.notice {
            let every = notice.every;
            line(
                "notice",
                &format!("each {every}, by {}: {}", notice.rule, notice.text),
            )?;
        }
        if let Some(shadow) = &self.shadow {
            line("shadow", &format!("{}, by {}", shadow.pool, shadow.rule))?;
        }
        if let Some(entry) = &self.entry {
            let mut text = entry.name.clone();
            if !entry.category.is_empty() {
                text.push_str(&format!(" [{}]", entry.category));
            }
            let state = entry
                .state
                .unwrap_or("not listed, under its own identifier");
            text.push_str(&format!(": {state} on {}", entry.pool));
            if let Some(source) = &entry.source {
                text.push_str(&format!(" ({source})"));
            }
            line("room", &text.trim_start_matches([':', ' ']))?;
            for also in &entry.also {
                line("", &format!("also on {} ({})", also.pool, also.source))?;
            }
        } else if self.asked.room.is_some() {
            line("room", &"not listed")?;
        }
        line("at", &self.at)?;
        match self.generation {
            Some(generation) => line("", &format!("generation {generation}")),
            None => Ok(()),
        }
    }
}
