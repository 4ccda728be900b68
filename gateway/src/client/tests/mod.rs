//! The client by its octets, and against a whole gateway.

mod gateway;
mod octets;
