//! The names of commands, replies and notices.

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $token:literal;)*) => {
        /// What a command, a reply or a notice is about.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Verb {
            $($(#[$doc])* #[doc = concat!("`", $token, "`")] $name,)*
            /// Any other name, without its `cmd:`, `rpl:` or `ntc:`.
            Unknown(Box<str>),
        }

        impl Verb {
            /// All that have a name of their own.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name behind the colon.
            pub fn token(&self) -> &str {
                match self {
                    $(Self::$name => $token,)*
                    Self::Unknown(token) => token,
                }
            }

            fn from_token(token: &str) -> Self {
                $(if token.eq_ignore_ascii_case($token) { return Self::$name; })*
                // A 2007 R2 server was seen to spell its reply so.
                if token.eq_ignore_ascii_case("getservinfo") { return Self::GetServerInfo; }
                Self::Unknown(token.into())
            }
        }
    };
}

verbs! {
    /// The address of the chat service:
    RequestUri = "requri";
    /// Facts about the server:
    GetServerInfo = "getserverinfo";
    /// The user's rooms:
    GetAssociations = "getassociations";
    /// Enter a room:
    Join = "join";
    /// Enter several rooms:
    BatchJoin = "bjoin";
    /// Leave rooms:
    Part = "part";
    /// What was said before:
    BackChat = "bccontext";
    /// Find rooms:
    ChannelSearch = "chansrch";
    /// Read a blob:
    GetPreference = "getpref";
    /// Store a blob:
    SetPreference = "setpref";
    /// New invitations:
    GetInvitations = "getinv";
    /// The right to upload a file:
    GetUploadToken = "getfutok";
    /// The right to download a file:
    GetDownloadToken = "getfdtok";
    /// The reply to both of these:
    GetFileToken = "getftok";
    /// Where the user may create something:
    NodesPermCreateChild = "nodespermcreatechild";
}

impl Verb {
    /// Reads `cmd:join`, `rpl:join` or `ntc:join`, ignoring case as clients do. A name without colon is taken whole.
    pub fn from_id(id: &str) -> Self {
        let id = id.trim();
        Self::from_token(id.split_once(':').map_or(id, |(_, token)| token))
    }

    /// `cmd:` and the name.
    pub fn command_name(&self) -> String {
        format!("cmd:{}", self.token())
    }

    /// `rpl:` and the name of the reply, which is one for both kinds of file tokens.
    pub fn reply_name(&self) -> String {
        format!("rpl:{}", self.reply().token())
    }

    /// `ntc:` and the name.
    pub fn notice_name(&self) -> String {
        format!("ntc:{}", self.token())
    }

    /// The verb of the reply to this command.
    pub fn reply(&self) -> &Self {
        match self {
            Self::GetUploadToken | Self::GetDownloadToken => &Self::GetFileToken,
            verb => verb,
        }
    }
}

impl Default for Verb {
    /// No name at all.
    fn default() -> Self {
        Self::Unknown("".into())
    }
}
