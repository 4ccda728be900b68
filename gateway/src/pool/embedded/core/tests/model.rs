//! Random joins, parts, posts and lost legs against the simplest model there is: a list of texts per leg.

use proptest::prelude::*;

use super::*;

const USERS: &[&str] = &["ann", "bob", "zoe", "pat"];
const VALUES: &[&str] = &["open", "closed", "hall"];

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Close(usize),
    Join(usize, usize),
    Part(usize, usize),
    Post(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (leg, value) = (0..8_usize, 0..VALUES.len());
    prop_oneof![
        1 => (0..USERS.len()).prop_map(Step::Open),
        1 => leg.clone().prop_map(Step::Close),
        4 => (leg.clone(), value.clone()).prop_map(|(leg, value)| Step::Join(leg, value)),
        2 => (leg.clone(), value.clone()).prop_map(|(leg, value)| Step::Part(leg, value)),
        6 => (leg, value).prop_map(|(leg, value)| Step::Post(leg, value)),
    ]
}

/// Who may be where, written down by hand.
fn admits(user: &str, value: &str) -> bool {
    value != "closed" || matches!(user, "ann" | "bob")
}

fn hears(user: &str, value: &str) -> bool {
    value != "hall" || matches!(user, "bob" | "pat")
}

struct Leg {
    id: LegId,
    user: &'static str,
    rooms: Vec<&'static str>,
    heard: Vec<(String, String)>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_leg_in_a_room_hears_each_post_once_in_order(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        let mut legs: Vec<Leg> = Vec::new();
        let mut said: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Open(user) => {
                    let user = USERS[user];
                    let id = world.leg(user);
                    legs.push(Leg { id, user, rooms: Vec::new(), heard: Vec::new() });
                }
                Step::Close(leg) if leg < legs.len() => {
                    let leg = legs.remove(leg);
                    check(&mut world, &leg)?;
                    world.close(leg.id);
                }
                Step::Join(leg, value) if leg < legs.len() => {
                    let (leg, value) = (&mut legs[leg], VALUES[value]);
                    check(&mut world, leg)?;
                    leg.heard.clear();
                    let admitted = admits(leg.user, value);
                    prop_assert_eq!(world.join(leg.id, value) == 200, admitted);
                    if admitted && !leg.rooms.contains(&value) {
                        leg.rooms.push(value);
                    }
                }
                Step::Part(leg, value) if leg < legs.len() => {
                    let (leg, value) = (&mut legs[leg], VALUES[value]);
                    check(&mut world, leg)?;
                    leg.heard.clear();
                    prop_assert_eq!(world.part(leg.id, value), 200);
                    leg.rooms.retain(|joined| *joined != value);
                }
                Step::Post(leg, value) if leg < legs.len() => {
                    let (sender, value) = (&legs[leg], VALUES[value]);
                    let text = format!("post {number}");
                    let taken = sender.rooms.contains(&value) && hears(sender.user, value);
                    let receipt = world.post(sender.id, value, &text);
                    prop_assert_eq!(receipt == Receipt::Accepted, taken);
                    if taken {
                        said.entry(value).or_default().push(text.clone());
                        for leg in legs.iter_mut().filter(|leg| leg.rooms.contains(&value)) {
                            leg.heard.push((value.to_owned(), text.clone()));
                        }
                    }
                }
                _ => {}
            }
        }
        for leg in &legs {
            check(&mut world, leg)?;
        }
        let reader = world.leg("bob");
        for value in VALUES {
            prop_assert_eq!(world.texts(reader, value), said.remove(value).unwrap_or_default());
        }
    }
}

/// A leg was told what the model says, and nothing else.
fn check(world: &mut World, leg: &Leg) -> Result<(), TestCaseError> {
    let heard: Vec<(String, String)> = world
        .messages(leg.id)
        .into_iter()
        .map(|message| (message.room.value().to_owned(), message.chat))
        .collect();
    prop_assert_eq!(&heard, &leg.heard);
    Ok(())
}
