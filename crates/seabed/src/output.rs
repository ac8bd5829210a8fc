//! What verbs print. A reader that has had enough (`seabed … | head`) ends the verb without a word,
//! with the code of the signal that ends other programs then.

use std::io::{self, ErrorKind, Write};

/// What a shell says of a program that SIGPIPE ended.
const READER_LEFT: i32 = 128 + 13;

/// Prints text on standard output.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(READER_LEFT),
        done => done,
    }
}

/// `println!` for verbs; an error of the terminal or file ends the function.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::print(&(format!($($text)*) + "\n"))? };
}
pub(crate) use say;
