//! Rules that send users to a pool that a fence forbids all of them.

use std::collections::HashMap;

use super::Reviewed;
use crate::codes;
use crate::diagnostic::Diagnostics;
use crate::names::{PoolName, Region};
use crate::rules::relate::{always, implies};
use crate::rules::{Rule, Then};
use crate::settings::Pool;

/// Pairs of rules that are compared at most.
const COMPARED: usize = 1_000_000;

pub(super) fn review(
    rules: &[Reviewed<'_>],
    sound: &[bool],
    pools: &[Pool],
    found: &mut Diagnostics,
) {
    let regions: HashMap<&PoolName, Option<&Region>> = pools
        .iter()
        .map(|pool| (&pool.name, pool.region.as_ref()))
        .collect();
    let sound = || rules.iter().zip(sound).filter(|(_, sound)| **sound);
    let fences: Vec<(&Rule, &Region)> = sound()
        .filter_map(|(reviewed, _)| match &reviewed.rule.then {
            Then::Fence { region } => Some((&**reviewed.rule, region)),
            _ => None,
        })
        .collect();
    let routes = sound().filter(|(reviewed, _)| matches!(reviewed.rule.then, Then::Route(_)));
    let most = COMPARED / fences.len().max(1);
    for (reviewed, _) in routes.take(most) {
        // The first fence that matches holds; one that matches everybody who is routed is that one, or comes after it.
        let around = fences
            .iter()
            .find(|(fence, _)| is_around(fence, reviewed.rule));
        let Some((fence, region)) = around else {
            continue;
        };
        for (pool, span) in &reviewed.draft.pools {
            let own = regions.get(pool).copied().flatten();
            if own == Some(*region) {
                continue;
            }
            let is_in = match own {
                Some(own) => format!("in region `{own}`"),
                None => "in no region".to_owned(),
            };
            let message = format!(
                "the pool is {is_in}, and `{}` ({}) demands `{region}`",
                fence.name, fence.place
            );
            let warning = reviewed.warning(codes::FENCED_OFF, span, message);
            found.push(warning.label("refused there").help(
                "whom this rule matches is refused: name a pool in the region, or exclude these users from the rule with `region`",
            ));
        }
    }
}

/// Whether a fence matches wherever a rule matches.
fn is_around(fence: &Rule, rule: &Rule) -> bool {
    fence.when.iter().all(|wide| {
        !wide.negated && always(&wide.test) || rule.when.iter().any(|narrow| implies(narrow, wide))
    })
}
