//! The stable codes of this crate's faults. A code never changes its meaning and is never used again for another.
//! (HC032 was of versions that knew no rules.)

macro_rules! codes {
    ($( $name:ident = $code:literal, $title:literal; )*) => {
        $( #[doc = $title] pub const $name: &str = $code; )*

        /// Every code with what it says, for the documentation.
        pub const ALL: &[(&str, &str)] = &[ $( ($code, $title), )* ];
    };
}

codes! {
    UNREADABLE = "HC001", "The file cannot be read.";
    SYNTAX = "HC002", "The text is not TOML.";
    UNKNOWN_KEY = "HC003", "No such key in this table.";
    WRONG_TYPE = "HC004", "The value has another type than the key needs.";
    MISSING_KEY = "HC005", "The table lacks a key that it must have.";
    OUT_OF_RANGE = "HC006", "The number is outside the key's bounds.";
    BAD_CHOICE = "HC007", "The value is none of those that the key knows.";
    BAD_NAME = "HC008", "A name has characters that names may not have.";
    BAD_DOMAIN = "HC009", "The value is not a domain name.";
    BAD_URI = "HC010", "The value is not the SIP URI of a user.";
    BAD_ADDRESS = "HC011", "The value is not an IP address with a port.";
    BAD_PATH = "HC012", "The value cannot be the path of a file.";
    BAD_LOG_LEVEL = "HC013", "The value is not a level or a list of `target=level`.";
    BAD_REALM = "HC014", "The realm cannot be written in a challenge.";
    BAD_SERVER = "HC015", "The value is not a host with a port.";
    BAD_SRV_NAME = "HC016", "The value is not the name of SRV records.";
    DUPLICATE_NAME = "HC020", "Two listeners, pools, rules or tests have one name.";
    DUPLICATE_ADDRESS = "HC021", "Two things listen on one address.";
    DUPLICATE_FILE = "HC022", "One file is named twice where each needs its own.";
    SAME_URIS = "HC023", "`lookup_uri` and `channel_uri` are the same.";
    POOL_KIND = "HC024", "A pool has no kind, or more than one.";
    UNKNOWN_POOL = "HC026", "No pool of this name is configured.";
    DEFAULT_POOL_MISSING = "HC027", "There are several pools, and none is named as the default.";
    OPEN_SIGN_IN = "HC028", "Anyone could sign in as anyone over the network.";
    NO_LISTENER = "HC029", "There is no listener.";
    NO_POOL = "HC030", "There is no pool.";
    QUEUE_TOO_SMALL = "HC031", "A queue could never hold the largest message.";
    NO_SERVER = "HC033", "A pool has no server.";
    DUPLICATE_SERVER = "HC034", "One server is listed twice.";
    TRANSPORT_AND_TLS = "HC035", "The transport of a pool and its TLS settings do not fit together.";
    HALF_A_PAIR = "HC036", "A certificate has no private key, or a private key no certificate.";
    LISTENER_MODE = "HC037", "A key of a listener does not fit those who connect to it.";
    SRV_AND_SERVERS = "HC038", "A pool says in two ways, or in half of one, which servers it has.";
    SRV_NOT_BUILT = "HC039", "SRV records are asked for, and the program was built without them.";
    NO_EFFECT = "HC040", "The value has no effect (warning).";
    NO_ROOMS = "HC041", "No room can be reached (warning).";
    ADMIN_EXPOSED = "HC042", "The admin address is open to the network (warning).";
    POOL_TOO_SLOW = "HC043", "A pool may take longer than sessions wait for it (warning).";
    FILE_MISSING = "HC050", "A file that is needed does not exist.";
    NOT_A_FILE = "HC051", "The path does not name a file.";
    FILE_UNREADABLE = "HC052", "A file that is needed cannot be read, or cannot be written.";
    FOLDER_MISSING = "HC053", "The folder for new files does not exist, or none can be made in it.";
    WRONG_CONTENT = "HC054", "The file does not hold what the key needs.";
    FILE_EXPOSED = "HC057", "Others than its owner have rights on a file that holds what users write (warning).";
    BAD_USER = "HC060", "The name of a user is not `user@domain`.";
    BAD_HASH = "HC061", "The value is not an HA1 hash.";
    DUPLICATE_USER = "HC062", "One user is listed twice.";
    BAD_ROOM = "HC070", "The value cannot be the value of a room's identifier.";
    NOBODY_ADMITTED = "HC071", "The list names nobody who may connect.";
    BAD_PATTERN = "HC080", "The value is not a pattern.";
    BAD_ROOM_ID = "HC081", "The value is neither a room's identifier nor a pattern of identifiers.";
    BAD_NETWORK = "HC082", "The value is not a network or an IP address.";
    BAD_TIME = "HC083", "The value is not a date and time, or the clocks never or twice show it.";
    BAD_ZONE = "HC084", "The value is not a time zone.";
    BAD_TEXT = "HC085", "The text cannot be shown to users.";
    EMPTY_LIST = "HC086", "The list names nothing.";
    EMPTY_WINDOW = "HC087", "The end of a time window is not after its begin.";
    ACTION = "HC088", "A rule has no action, or more than one.";
    SHARES = "HC089", "The shares of pools do not make a hundred, or name a pool twice.";
    UNKNOWN_LISTENER = "HC090", "No listener of this name is configured.";
    UNKNOWN_REGION = "HC091", "No pool is in this region.";
    OUTSIDE_REGION = "HC092", "A pool is not in the region that its rule demands.";
    UNKNOWN_RULE = "HC093", "No rule has this name.";
    EXPECTATION = "HC094", "A test expects nothing, or more than can come of it.";
    FIXED_CHANGED = "HC100", "A reload would change a setting that holds from start to stop.";
    NEVER_MATCHES = "HC110", "A rule can never match (warning).";
    UNREACHABLE = "HC111", "An earlier rule takes everything that a rule matches (warning).";
    SHADOWED = "HC112", "An earlier rule takes everything that one value of a condition matches (warning).";
    OVERLAP = "HC113", "Two rules that send to different pools match some of the same (warning).";
    EXPIRED = "HC114", "The time window of a rule is over (warning).";
    NO_TARGET = "HC115", "A rule sends users to a pool on which rooms have no identifier (warning).";
    USERS_APART = "HC116", "Users of one room are sent to different pools and do not meet (warning).";
    OUTSIDE_FENCE = "HC117", "A rule demands a region in which rooms cannot be reached (warning).";
    FENCED_OFF = "HC118", "A rule sends users to a pool that another rule forbids them (warning).";
    PASSED_BY = "HC119", "An earlier rule keeps users out of a maintenance or refusal (warning).";
    FOREIGN_DOMAIN = "HC120", "A rule is about users of a domain that is not served (warning).";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn codes_are_unique_and_ascend() {
        assert!(ALL.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
