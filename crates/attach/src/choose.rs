//! Which way a volume is attached: a rule of what the node has and the image needs.

use std::fmt;

use crate::fuse_loop;
use crate::krbd;

/// A way to attach, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Way {
    /// The kernel's own client.
    KernelRbd,
    /// A user-space block device over io_uring.
    Ublk,
    /// A network block device served on this node.
    Nbd,
    /// A file in FUSE with a loop device on it.
    FuseLoop,
}

impl Way {
    /// All, best first.
    pub const ALL: [Way; 4] = [Way::KernelRbd, Way::Ublk, Way::Nbd, Way::FuseLoop];
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::KernelRbd => "krbd",
            Way::Ublk => "ublk",
            Way::Nbd => "nbd",
            Way::FuseLoop => "fuse-loop",
        })
    }
}

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The best that works.
    Auto,
    /// This one or none.
    Only(Way),
}

/// A kernel's release: major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32);

impl Release {
    /// From the text of `uname -r`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        Some(Release(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The kernel's module `rbd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelRbd {
    /// It is there.
    Loaded,
    /// It can be loaded.
    Loadable,
    /// This kernel was built without it, or its modules are not here.
    Absent,
}

/// What a node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Of its kernel.
    pub release: Release,
    /// May this process mount file systems and set up block devices (`CAP_SYS_ADMIN`)?
    pub admin: bool,
    /// The module `rbd`.
    pub krbd: KernelRbd,
    /// Can `/sys/bus/rbd` be written (in a container `/sys` often cannot)?
    pub sysfs_writable: bool,
    /// Can `/dev/fuse` be opened?
    pub fuse: bool,
    /// Can `/dev/loop-control` be opened?
    pub loop_control: bool,
    /// May this process become an I/O flusher (`CAP_SYS_RESOURCE`)? A user-space device's owner
    /// that may not can deadlock when memory is short; nothing else depends on it.
    pub flusher: bool,
    /// May it lock its memory (`CAP_IPC_LOCK`)? As above.
    pub lock_memory: bool,
}

/// What an image is, as far as the kernel's client minds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageFacts {
    /// Ceph's feature bits.
    pub features: u64,
    /// Parents in its chain.
    pub parents: usize,
    /// Snapshots it has.
    pub snapshots: usize,
}

/// What is to be attached: nothing in particular, or an image.
pub type Needs = Option<ImageFacts>;

/// Why a way is out of the question.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// The operator wants another.
    NotWanted(Way),
    /// It comes with a later release of Seabed.
    NotBuilt,
    /// Not allowed to.
    NotAdmin,
    /// The kernel is older than this.
    KernelOlderThan(Release),
    /// The kernel has no such module.
    NoModule,
    /// The kernel's files cannot be written here.
    SysfsReadOnly,
    /// A device's node is not there or cannot be opened.
    NoNode(&'static str),
    /// The image has features that the kernel's client does not have.
    Features(u64),
    /// The image's chain of parents is longer than the kernel's client follows.
    Parents(usize),
    /// The image has more snapshots than the kernel's client bears.
    Snapshots(usize),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::NotWanted(other) => write!(f, "{other} was asked for"),
            Obstacle::NotBuilt => f.write_str("not built yet"),
            Obstacle::NotAdmin => {
                f.write_str("this process lacks CAP_SYS_ADMIN; run it as root, privileged")
            }
            Obstacle::KernelOlderThan(needed) => write!(f, "needs Linux {needed} or newer"),
            Obstacle::NoModule => {
                f.write_str("the kernel has no module rbd; install the kernel's extra modules")
            }
            Obstacle::SysfsReadOnly => {
                f.write_str("/sys/bus/rbd cannot be written; mount the host's /sys writable")
            }
            Obstacle::NoNode(node) => {
                write!(f, "{node} cannot be opened; load its module, show the host's /dev")
            }
            Obstacle::Features(bits) => {
                write!(f, "the image has features {bits:#x}, unknown to the kernel's client")
            }
            Obstacle::Parents(count) => {
                let most = krbd::PARENTS_MAX;
                write!(f, "the image has {count} parents, the kernel follows {most}; flatten it")
            }
            Obstacle::Snapshots(count) => {
                let most = krbd::SNAPSHOTS_MAX;
                write!(f, "the image has {count} snapshots, the kernel bears {most}")
            }
        }
    }
}

/// Of one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub way: Way,
    /// All that is against it; nothing if it works.
    pub obstacles: Vec<Obstacle>,
}

impl Verdict {
    /// True if it works.
    pub fn works(&self) -> bool {
        self.obstacles.is_empty()
    }
}

/// What the rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The way to take, if there is one.
    pub way: Option<Way>,
    /// Of every way, best first.
    pub verdicts: Vec<Verdict>,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verdict in &self.verdicts {
            let way = verdict.way.to_string();
            let words = if self.way == Some(verdict.way) {
                "chosen".to_owned()
            } else if verdict.works() {
                "works".to_owned()
            } else {
                let all: Vec<String> = verdict.obstacles.iter().map(Obstacle::to_string).collect();
                format!("no: {}", all.join("; "))
            };
            writeln!(f, "{way:<10} {words}")?;
        }
        Ok(())
    }
}

/// The best way that works here and is wanted.
pub fn choose(node: &NodeFacts, image: Needs, wanted: Wanted) -> Choice {
    let verdicts: Vec<Verdict> = Way::ALL
        .into_iter()
        .map(|way| Verdict { way, obstacles: obstacles(way, node, image, wanted) })
        .collect();
    let way = verdicts.iter().find(|verdict| verdict.works()).map(|verdict| verdict.way);
    Choice { way, verdicts }
}

fn obstacles(way: Way, node: &NodeFacts, image: Needs, wanted: Wanted) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let mut against = |so: bool, obstacle: Obstacle| {
        if so {
            found.push(obstacle);
        }
    };
    if let Wanted::Only(other) = wanted {
        against(other != way, Obstacle::NotWanted(other));
    }
    match way {
        Way::Ublk | Way::Nbd => against(true, Obstacle::NotBuilt),
        Way::KernelRbd => {
            against(!node.admin, Obstacle::NotAdmin);
            let oldest = krbd::KERNEL_MIN;
            against(node.release < oldest, Obstacle::KernelOlderThan(oldest));
            against(node.krbd == KernelRbd::Absent, Obstacle::NoModule);
            let there = node.krbd != KernelRbd::Absent;
            against(there && !node.sysfs_writable, Obstacle::SysfsReadOnly);
            if let Some(image) = image {
                let unknown = image.features & !krbd::FEATURES;
                against(unknown != 0, Obstacle::Features(unknown));
                against(image.parents > krbd::PARENTS_MAX, Obstacle::Parents(image.parents));
                let many = image.snapshots > krbd::SNAPSHOTS_MAX;
                against(many, Obstacle::Snapshots(image.snapshots));
            }
        }
        Way::FuseLoop => {
            against(!node.admin, Obstacle::NotAdmin);
            let oldest = fuse_loop::KERNEL_MIN;
            against(node.release < oldest, Obstacle::KernelOlderThan(oldest));
            against(!node.fuse, Obstacle::NoNode("/dev/fuse"));
            against(!node.loop_control, Obstacle::NoNode("/dev/loop-control"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> NodeFacts {
        NodeFacts {
            release: Release(6, 1),
            admin: true,
            krbd: KernelRbd::Loaded,
            sysfs_writable: true,
            fuse: true,
            loop_control: true,
            flusher: true,
            lock_memory: true,
        }
    }

    fn against(choice: &Choice, way: Way) -> &[Obstacle] {
        &choice.verdicts.iter().find(|verdict| verdict.way == way).unwrap().obstacles
    }

    #[test]
    fn the_kernel_comes_first_where_it_can() {
        let choice = choose(&full(), None, Wanted::Auto);
        assert_eq!(choice.way, Some(Way::KernelRbd));
        assert!(against(&choice, Way::FuseLoop).is_empty());
        assert_eq!(against(&choice, Way::Ublk), [Obstacle::NotBuilt]);
        let loadable = NodeFacts { krbd: KernelRbd::Loadable, ..full() };
        assert_eq!(choose(&loadable, None, Wanted::Auto).way, Some(Way::KernelRbd));
    }

    #[test]
    fn without_its_module_or_on_an_old_kernel_fuse_takes_over() {
        let bare = NodeFacts { krbd: KernelRbd::Absent, sysfs_writable: false, ..full() };
        let choice = choose(&bare, None, Wanted::Auto);
        assert_eq!(choice.way, Some(Way::FuseLoop));
        // A missing /sys/bus/rbd is not reported as one that cannot be written.
        assert_eq!(against(&choice, Way::KernelRbd), [Obstacle::NoModule]);
        let old = NodeFacts { release: Release(5, 10), ..full() };
        let choice = choose(&old, None, Wanted::Auto);
        assert_eq!(choice.way, Some(Way::FuseLoop));
        assert_eq!(against(&choice, Way::KernelRbd), [Obstacle::KernelOlderThan(krbd::KERNEL_MIN)]);
    }

    #[test]
    fn an_image_that_the_kernel_does_not_bear_goes_by_fuse() {
        let image = ImageFacts { features: 0x40 | 0x3d, parents: 17, snapshots: 511 };
        let choice = choose(&full(), Some(image), Wanted::Auto);
        assert_eq!(choice.way, Some(Way::FuseLoop));
        assert_eq!(
            against(&choice, Way::KernelRbd),
            [Obstacle::Features(0x40), Obstacle::Parents(17), Obstacle::Snapshots(511)]
        );
        let fits = ImageFacts { features: 0x3d, parents: 16, snapshots: 510 };
        assert_eq!(choose(&full(), Some(fits), Wanted::Auto).way, Some(Way::KernelRbd));
    }

    #[test]
    fn what_is_asked_for_is_taken_or_nothing() {
        let choice = choose(&full(), None, Wanted::Only(Way::FuseLoop));
        assert_eq!(choice.way, Some(Way::FuseLoop));
        assert_eq!(against(&choice, Way::KernelRbd), [Obstacle::NotWanted(Way::FuseLoop)]);
        let choice = choose(&full(), None, Wanted::Only(Way::Nbd));
        assert_eq!(choice.way, None);
        let unprivileged = NodeFacts { admin: false, fuse: false, loop_control: false, ..full() };
        let choice = choose(&unprivileged, None, Wanted::Auto);
        assert_eq!(choice.way, None);
        assert_eq!(
            against(&choice, Way::FuseLoop),
            [
                Obstacle::NotAdmin,
                Obstacle::NoNode("/dev/fuse"),
                Obstacle::NoNode("/dev/loop-control")
            ]
        );
    }

    #[test]
    fn it_reads_as_a_doctor_says_it() {
        let bare = NodeFacts { krbd: KernelRbd::Absent, ..full() };
        let said = choose(&bare, None, Wanted::Auto).to_string();
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].starts_with("krbd       no: the kernel has no module rbd"), "{said}");
        assert_eq!(lines[1..3], ["ublk       no: not built yet", "nbd        no: not built yet"]);
        assert_eq!(lines[3], "fuse-loop  chosen");
    }

    #[test]
    fn releases() {
        assert_eq!(Release::parse("6.18.44-fc-v857"), Some(Release(6, 18)));
        assert_eq!(Release::parse("5.8"), Some(Release(5, 8)));
        assert_eq!(Release::parse("6"), None);
        assert_eq!(Release::parse("six.one"), None);
        assert!(Release(5, 10) < Release(5, 11) && Release(5, 11) < Release(6, 1));
    }
}
