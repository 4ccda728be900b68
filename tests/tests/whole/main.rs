//! The whole gateway from outside, with clients that behave and clients that do not.

#[cfg(test)]
mod command_line;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod front_ends;
#[cfg(test)]
mod pace;
#[cfg(test)]
mod peers;
mod pools;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod room_limits;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod traces;
mod unfinished;
#[cfg(test)]
mod unread_log;
