//! Scenarios with the real legacy client, unmodified, against the program, over TCP and over TLS with verification on.
//!
//! The program is `holdover demo`: rooms that clients know by old identifiers live under new ones in an embedded pool. In
//! `upstreams` it is `holdover run` in front of three pools.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test says no"
)]

/// Makes two tests of each scenario that a module plays itself: clients over TCP and over TLS.
macro_rules! over_both {
    ($($name:ident),*) => {
        mod over_tcp {
            $(#[test] fn $name() { super::play(super::Over::Tcp, super::$name); })*
        }
        mod over_tls {
            $(#[test] fn $name() { super::play(super::Over::Tls, super::$name); })*
        }
    };
}

mod front_end;
mod recovery;
mod rooms;
mod rules;
mod sign_in;
mod talk;
mod upstreams;
mod world;

/// Makes two tests of each scenario of a demo: one over TCP and one over TLS.
macro_rules! scenarios {
    ($($module:ident: $($name:ident),*;)*) => {
        mod over_tcp {
            use super::world::{play, Over};
            $($(#[test] fn $name() { play(Over::Tcp, super::$module::$name); })*)*
        }
        mod over_tls {
            use super::world::{play, Over};
            $($(#[test] fn $name() { play(Over::Tls, super::$module::$name); })*)*
        }
    };
}

scenarios! {
    talk:
        two_users_meet_and_talk,
        every_text_arrives_as_it_was_said,
        clients_with_the_same_call_ids_do_not_mix,
        a_link_to_a_room_is_rewritten_both_ways,
        signing_out_leaves_the_rooms;
    rooms:
        a_retired_room_is_refused_with_its_note,
        a_pending_room_is_refused_with_its_note,
        a_merged_room_works_under_every_old_id,
        one_user_may_open_a_merged_room_twice,
        a_room_that_was_left_can_be_joined_again;
    sign_in:
        the_right_password_signs_in,
        a_wrong_password_is_refused_in_words,
        the_session_is_refreshed;
    recovery:
        a_lost_connection_misses_nothing,
        rooms_come_back_however_often_the_connection_drops,
        what_was_acknowledged_survives_kill_9,
        ctrl_c_ends_it_with_clients_connected;
}

/// These are about certificates.
mod certificates {
    use super::sign_in;
    use super::world::{Over, play};

    #[test]
    fn a_certificate_of_another_authority_is_refused() {
        play(
            Over::Tls,
            sign_in::a_certificate_of_another_authority_is_refused,
        );
    }

    #[test]
    fn a_certificate_of_another_name_is_refused() {
        play(Over::Tls, sign_in::a_certificate_of_another_name_is_refused);
    }
}
