//! Names of Ceph's releases by the number that maps carry.

/// The name for a release number; `"unknown"` outside what is known, as Ceph says.
pub fn release_name(release: u8) -> &'static str {
    match release {
        1 => "argonaut",
        2 => "bobtail",
        3 => "cuttlefish",
        4 => "dumpling",
        5 => "emperor",
        6 => "firefly",
        7 => "giant",
        8 => "hammer",
        9 => "infernalis",
        10 => "jewel",
        11 => "kraken",
        12 => "luminous",
        13 => "mimic",
        14 => "nautilus",
        15 => "octopus",
        16 => "pacific",
        17 => "quincy",
        18 => "reef",
        19 => "squid",
        20 => "tentacle",
        _ => "unknown",
    }
}
