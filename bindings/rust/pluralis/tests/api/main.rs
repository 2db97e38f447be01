//! Every function of the library, through the safe interface: what it does, and what it refuses.
mod context;
mod exchange;
mod identity;
mod io;
mod ledger;
mod ledger_store;
mod link;
mod model;
mod pipeline;
mod plan;
mod publish;
mod session;
mod shard;
mod stage;
mod support;
mod threads;
mod weights;
