//! The whole gateway from outside, with clients that behave and clients that do not.

#[cfg(test)]
mod peers;
