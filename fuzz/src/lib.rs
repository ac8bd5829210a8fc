//! Everything that faces the network, as functions over bytes: one registry of targets, used by
//! the smoke run on stable (`src/main.rs`) and by cargo-fuzz (`fuzz_targets/`).
//!
//! A target must not panic, must not take long and must not allocate beyond what its bytes
//! warrant, whatever they are. What a decoder accepts is encoded again, which must not panic
//! either.

#![forbid(unsafe_code)]

mod msgr2;
pub mod mutate;
mod objects;
mod seeds;
mod targets;

/// A function over bytes, and samples to start from.
pub struct Target {
    /// Its name on the command line and in `fuzz_targets/`.
    pub name: &'static str,
    /// Tries one input; panics if something is wrong.
    pub run: fn(&[u8]),
    /// Valid inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "msgr2_server", run: msgr2::server, seeds: seeds::to_server },
    Target { name: "msgr2_client", run: msgr2::client, seeds: seeds::to_client },
    Target { name: "message", run: targets::message, seeds: seeds::messages },
    Target { name: "osdmap", run: targets::osdmap, seeds: seeds::osdmaps },
    Target { name: "osdmap_change", run: targets::incremental, seeds: seeds::incrementals },
    Target { name: "monmap", run: targets::monmap, seeds: seeds::monmaps },
    Target { name: "crush_map", run: targets::crush_map, seeds: seeds::crush_maps },
    Target { name: "crush_text", run: targets::crush_text, seeds: seeds::crush_texts },
    Target { name: "transaction", run: targets::transaction, seeds: seeds::transactions },
    Target { name: "class_call", run: objects::class_call, seeds: objects::recorded_calls },
    Target { name: "osd_op", run: objects::osd_op, seeds: objects::recorded_requests },
    Target { name: "mon_command", run: targets::mon_command, seeds: seeds::mon_commands },
];

/// The target that must fail: a smoke run that does not find it finds nothing.
pub const CANARY: Target = Target { name: "canary", run: targets::canary, seeds: seeds::canary };

/// Runs the named target on one input.
pub fn run(name: &str, data: &[u8]) {
    match TARGETS.iter().find(|t| t.name == name) {
        Some(target) => (target.run)(data),
        None => panic!("no target {name}"),
    }
}
