//! What a client writes, octet by octet, and what it makes of answers.
