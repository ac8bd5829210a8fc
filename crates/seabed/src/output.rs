//! What verbs print. A reader that has had enough (`seabed … | head`) ends the verb without a word,
//! with the code of the signal that ends other programs then.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
};

/// What a shell says of a program that SIGPIPE ended.
const READER_LEFT: i32 = 128 + 13;

/// Prints one line on standard output.
pub(crate) fn line(text: fmt::Arguments<'_>) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(READER_LEFT),
        done => done,
    }
}

/// `println!` for verbs; an error of the terminal or file ends the function.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*))? };
}
pub(crate) use say;
