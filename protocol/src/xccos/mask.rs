//! What somebody may do in a room, as one number on the wire.

use std::fmt;
use std::ops::BitOr;
use std::str::FromStr;

/// A permission mask: `aib/@key`.
///
/// Bit `n` is permission `n` of the server's role table. Only two values were ever seen from old servers, one for members
/// and one for managers, and clients compare the whole number: SIPE takes 12276 literally for a manager. Newer servers
/// have no permissions 5, 6 and 9, so their numbers differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionMask(pub u32);

impl PermissionMask {
    /// Change the room itself.
    pub const MANAGE_NODE: Self = Self(1 << 2);
    /// Create something under this node.
    pub const CREATE_CHILD_NODES: Self = Self(1 << 4);
    /// Change roles. Old servers only.
    pub const MODIFY_ROLES: Self = Self(1 << 5);
    /// Change settings. Old servers only.
    pub const MODIFY_SETTINGS: Self = Self(1 << 6);
    /// Join.
    pub const JOIN: Self = Self(1 << 7);
    /// Post.
    pub const POST: Self = Self(1 << 8);
    /// Leave. Old servers only.
    pub const LEAVE: Self = Self(1 << 9);
    /// Read the history without joining.
    pub const READ_HISTORY: Self = Self(1 << 10);
    /// See that the room exists.
    pub const SEE: Self = Self(1 << 11);
    /// Post in an auditorium.
    pub const PRESENT: Self = Self(1 << 12);
    /// See rooms whatever their visibility.
    pub const BYPASS_VISIBILITY: Self = Self(1 << 13);

    /// A member, in the numbers of the old servers.
    pub const LEGACY_MEMBER: Self = Self(3984);
    /// A manager, in the numbers of the old servers.
    pub const LEGACY_MANAGER: Self = Self(12276);
    /// A member without the permissions that newer servers do not have.
    pub const PERSISTENT_MEMBER: Self = Self(3472);
    /// A manager without the permissions that newer servers do not have.
    pub const PERSISTENT_MANAGER: Self = Self(11668);

    /// True when all permissions of `other` are in this mask.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True for somebody who may change the room.
    pub const fn is_manager(self) -> bool {
        self.contains(Self::MANAGE_NODE)
    }

    /// The number an old client knows for this role. A presenter stays one; a manager is exactly the known number.
    pub const fn to_legacy(self) -> Self {
        if self.is_manager() {
            return Self::LEGACY_MANAGER;
        }
        Self(Self::LEGACY_MEMBER.0 | self.0 & Self::PRESENT.0)
    }
}

impl BitOr for PermissionMask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromStr for PermissionMask {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for PermissionMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for PermissionMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PermissionMask({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::PermissionMask as Mask;

    #[test]
    fn the_known_numbers_are_their_permissions() {
        let persistent_member =
            Mask::CREATE_CHILD_NODES | Mask::JOIN | Mask::POST | Mask::READ_HISTORY | Mask::SEE;
        assert_eq!(Mask::PERSISTENT_MEMBER, persistent_member);
        assert_eq!(Mask::LEGACY_MEMBER, persistent_member | Mask::LEAVE);
        let managing = Mask::MANAGE_NODE | Mask::BYPASS_VISIBILITY;
        assert_eq!(Mask::PERSISTENT_MANAGER, persistent_member | managing);
        let obsolete = Mask::MODIFY_ROLES | Mask::MODIFY_SETTINGS | Mask::LEAVE;
        assert_eq!(Mask::LEGACY_MANAGER, Mask::PERSISTENT_MANAGER | obsolete);
    }

    #[test]
    fn roles_translate_to_the_numbers_old_clients_know() {
        assert_eq!(Mask::PERSISTENT_MEMBER.to_legacy(), Mask::LEGACY_MEMBER);
        assert_eq!(Mask::PERSISTENT_MANAGER.to_legacy(), Mask::LEGACY_MANAGER);
        let presenter = Mask::PERSISTENT_MEMBER | Mask::PRESENT;
        assert_eq!(presenter.to_legacy(), Mask::LEGACY_MEMBER | Mask::PRESENT);
        assert_eq!(
            (Mask::LEGACY_MANAGER | Mask::PRESENT).to_legacy(),
            Mask::LEGACY_MANAGER
        );
    }

    #[test]
    fn the_wire_form_is_decimal() {
        assert_eq!("12276".parse(), Ok(Mask::LEGACY_MANAGER));
        assert_eq!(Mask::LEGACY_MEMBER.to_string(), "3984");
        assert!("0xF90".parse::<Mask>().is_err());
    }
}
