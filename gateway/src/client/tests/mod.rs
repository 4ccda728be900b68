//! The client by its octets, and against a whole gateway.

mod bench;
mod gateway;
mod octets;
