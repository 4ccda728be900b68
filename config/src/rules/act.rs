//! What users do, as far as rules tell it apart.

use std::fmt;

/// What a user is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Signing in.
    SignIn,
    /// Entering a room, its history, what one is a member of.
    Read,
    /// Saying something.
    Post,
    /// Looking for rooms.
    Search,
    /// Fetching a file.
    Download,
    /// Sending a file.
    Upload,
    /// Making or changing rooms and invitations.
    Manage,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SignIn,
        Self::Read,
        Self::Post,
        Self::Search,
        Self::Download,
        Self::Upload,
        Self::Manage,
    ];

    /// The class that admins write.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::SignIn => Class::SignIn,
            Self::Read => Class::Read,
            Self::Post => Class::Post,
            Self::Search => Class::Search,
            Self::Download | Self::Upload => Class::Files,
            Self::Manage => Class::Manage,
        }
    }

    /// The word for it in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Read => "read",
            Self::Post => "post",
            Self::Search => "search",
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Manage => "manage",
        }
    }

    /// Whether it leaves something behind on a pool.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Self::Post | Self::Upload | Self::Manage)
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

crate::text::choices! {
    /// A class of commands, as admins write it.
    pub enum Class {
        /// Signing in.
        SignIn = "sign-in",
        /// Entering rooms and reading them.
        Read = "read",
        /// Saying something.
        Post = "post",
        /// Looking for rooms.
        Search = "search",
        /// Sending and fetching files.
        Files = "files",
        /// Making or changing rooms and invitations.
        Manage = "manage",
    }
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::SignIn,
        Self::Read,
        Self::Post,
        Self::Search,
        Self::Files,
        Self::Manage,
    ];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u8);

impl Classes {
    /// Whether a class is among them.
    #[must_use]
    pub fn contains(self, class: Class) -> bool {
        self.0 & (1 << class as u8) != 0
    }

    /// Those that are in the set, in their order.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL
            .into_iter()
            .filter(move |class| self.contains(*class))
    }
}

impl FromIterator<Class> for Classes {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Self {
        Self(
            classes
                .into_iter()
                .fold(0, |set, class| set | 1 << class as u8),
        )
    }
}
