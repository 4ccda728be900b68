//! Who may do what in a room, as the permission mask that goes on the wire.

use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::PermissionMask;

use super::model::{Privacy, Room, RoomType};

/// What `user` may do in `room` while it is not disabled. Without [`PermissionMask::SEE`] there is no such room for them.
///
/// The category comes first and its deny list wins, also over managers.
pub(super) fn permissions(room: &Room, user: &UserUri) -> PermissionMask {
    if !room.category.permits(user) {
        return PermissionMask(0);
    }
    let auditorium = room.kind == RoomType::Auditorium;
    let present = |mask| match auditorium {
        true => mask | PermissionMask::PRESENT,
        false => mask,
    };
    if room.managers.contains(user) {
        return present(PermissionMask::PERSISTENT_MANAGER);
    }
    let member = room.members.contains(user);
    match room.privacy {
        Privacy::Secret if !member => PermissionMask(0),
        Privacy::Closed if !member => PermissionMask::SEE,
        _ if room.presenters.contains(user) => present(PermissionMask::PERSISTENT_MEMBER),
        _ => PermissionMask::PERSISTENT_MEMBER,
    }
}

/// Whether somebody with this mask may post in `room`.
pub(super) fn may_post(room: &Room, mask: PermissionMask) -> bool {
    mask.contains(match room.kind {
        RoomType::Normal => PermissionMask::POST,
        RoomType::Auditorium => PermissionMask::PRESENT,
    })
}

/// Whether the room's own lists name `user`, and the category does not object.
pub(super) fn is_associated(room: &Room, user: &UserUri) -> bool {
    room.category.permits(user)
        && (room.members.contains(user)
            || room.managers.contains(user)
            || room.presenters.contains(user))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdover_protocol::room::RoomUri;

    use super::*;
    use crate::pool::embedded::model::{Category, Principal, Principals, RoomKey};

    fn list(entries: &[&str]) -> Principals {
        entries
            .iter()
            .map(|text| Principal::parse(text).unwrap())
            .collect()
    }

    fn room(privacy: Privacy, kind: RoomType) -> Room {
        Room {
            key: RoomKey(1),
            uri: RoomUri::new("contoso.com", "1").unwrap(),
            name: "Deals".into(),
            description: "".into(),
            category: Arc::new(Category {
                name: "Trading".into(),
                allowed: list(&["*@contoso.com"]),
                denied: list(&["mallory@contoso.com"]),
            }),
            privacy,
            kind,
            disabled: false,
            invitations: true,
            members: list(&["ann@contoso.com", "pat@contoso.com", "mallory@contoso.com"]),
            managers: list(&["bob@contoso.com", "eve@fabrikam.com"]),
            presenters: list(&["pat@contoso.com"]),
        }
    }

    fn mask(room: &Room, user: &str) -> u32 {
        permissions(room, &UserUri::parse(user).unwrap()).0
    }

    #[test]
    fn privacy_decides_what_an_outsider_may() {
        let outsider = "sip:zoe@contoso.com";
        assert_eq!(mask(&room(Privacy::Open, RoomType::Normal), outsider), 3472);
        assert_eq!(
            mask(&room(Privacy::Closed, RoomType::Normal), outsider),
            2048
        );
        assert_eq!(mask(&room(Privacy::Secret, RoomType::Normal), outsider), 0);
    }

    #[test]
    fn roles_have_the_masks_of_persistent_chat() {
        for privacy in [Privacy::Open, Privacy::Closed, Privacy::Secret] {
            let normal = room(privacy, RoomType::Normal);
            assert_eq!(mask(&normal, "sip:ann@contoso.com"), 3472);
            assert_eq!(mask(&normal, "sip:pat@contoso.com"), 3472);
            assert_eq!(mask(&normal, "sip:bob@contoso.com"), 11668);
            let auditorium = room(privacy, RoomType::Auditorium);
            assert_eq!(mask(&auditorium, "sip:ann@contoso.com"), 3472);
            assert_eq!(mask(&auditorium, "sip:pat@contoso.com"), 3472 + 4096);
            assert_eq!(mask(&auditorium, "sip:bob@contoso.com"), 11668 + 4096);
        }
    }

    #[test]
    fn the_category_binds_everyone() {
        let open = room(Privacy::Open, RoomType::Normal);
        assert_eq!(mask(&open, "sip:mallory@contoso.com"), 0);
        assert_eq!(mask(&open, "sip:eve@fabrikam.com"), 0);
    }

    #[test]
    fn only_presenters_and_managers_post_in_an_auditorium() {
        let may = |room: &Room, user: &str| {
            may_post(room, permissions(room, &UserUri::parse(user).unwrap()))
        };
        let auditorium = room(Privacy::Open, RoomType::Auditorium);
        assert!(!may(&auditorium, "sip:ann@contoso.com"));
        assert!(may(&auditorium, "sip:pat@contoso.com"));
        assert!(may(&auditorium, "sip:bob@contoso.com"));
        assert!(may(
            &room(Privacy::Open, RoomType::Normal),
            "sip:zoe@contoso.com"
        ));
        assert!(!may(
            &room(Privacy::Closed, RoomType::Normal),
            "sip:zoe@contoso.com"
        ));
    }
}
