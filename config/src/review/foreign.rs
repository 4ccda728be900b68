//! Users whom rules mean and who cannot sign in: they are of another domain than the gateway's.

use holdover_protocol::user::UserUri;

use super::Reviewed;
use crate::codes;
use crate::diagnostic::Diagnostics;
use crate::names::Domain;
use crate::rules::{Glob, Test, UserPattern};

pub(super) fn review(
    rules: &[Reviewed<'_>],
    sound: &[bool],
    domain: &Domain,
    found: &mut Diagnostics,
) {
    let everybody = Glob::new(&format!("*@{domain}"));
    let is_foreign = |user: &UserUri| user.domain() != domain.as_str();
    for (reviewed, sound) in rules.iter().zip(sound) {
        if !sound {
            continue;
        }
        for (number, condition) in reviewed.rule.when.iter().enumerate() {
            if condition.negated {
                continue;
            }
            match &condition.test {
                Test::User(users) => {
                    for (element, pattern) in users.patterns.iter().enumerate() {
                        let is_nobody = match pattern {
                            UserPattern::One(user) => is_foreign(user),
                            UserPattern::Many(glob) => !glob.meets(&everybody),
                        };
                        if is_nobody {
                            tell(
                                reviewed,
                                number,
                                element,
                                &pattern.to_string(),
                                domain,
                                found,
                            );
                        }
                    }
                    let file = users.file.iter().flat_map(|file| file.users.iter());
                    let foreign = file.filter(|user| is_foreign(user));
                    // The smallest: a set is in no order.
                    if let Some(first) = foreign.min() {
                        let (element, name) = (users.patterns.len(), first.address());
                        tell(reviewed, number, element, name, domain, found);
                    }
                }
                Test::Domain(domains) => {
                    for (element, listed) in domains.iter().enumerate() {
                        if listed != domain {
                            tell(reviewed, number, element, listed.as_str(), domain, found);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn tell(
    reviewed: &Reviewed<'_>,
    condition: usize,
    element: usize,
    who: &str,
    domain: &Domain,
    found: &mut Diagnostics,
) {
    let message = format!("nobody of `{who}` can sign in: this gateway serves `{domain}` alone");
    let span = reviewed.element(condition, element);
    let warning = reviewed.warning(codes::FOREIGN_DOMAIN, span, message);
    found.push(
        warning
            .label("refused at sign-in")
            .help("users of other domains are refused whatever the rules say; `domain` in `[gateway]` is the one that is served"),
    );
}
