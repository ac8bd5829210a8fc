//! Words of the text form and where they stand.

use crate::CrushError;

/// A word: a name, a number, or one of the brackets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    pub(super) line: usize,
}

/// A cursor over the words of a text.
pub(super) struct Lexer<'t> {
    words: Vec<Word<'t>>,
    at: usize,
    last_line: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut words = Vec::new();
        let mut last_line = 0;
        for (line, content) in (1..).zip(text.lines()) {
            last_line = line;
            let content = content.split_once('#').map_or(content, |(before, _)| before);
            split_words(content, |text| words.push(Word { text, line }));
        }
        Self { words, at: 0, last_line }
    }

    /// The next word, without taking it; "" at the end.
    pub(super) fn peek(&self) -> &'t str {
        self.words.get(self.at).map_or("", |w| w.text)
    }

    /// The line of the next word.
    pub(super) fn line(&self) -> usize {
        self.words.get(self.at).map_or(self.last_line, |w| w.line)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.words.len()
    }

    /// Takes the next word if it is this one.
    pub(super) fn accept(&mut self, text: &str) -> bool {
        let hit = self.peek() == text && !self.is_at_end();
        self.at += usize::from(hit);
        hit
    }

    /// Takes this word or fails.
    pub(super) fn expect(&mut self, text: &str) -> Result<(), CrushError> {
        if self.accept(text) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Takes a name: of items, types, classes, algorithms.
    pub(super) fn name(&mut self) -> Result<&'t str, CrushError> {
        let word = self.peek();
        if !crate::is_valid_name(word) {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(word)
    }

    /// Takes a whole number.
    pub(super) fn int<T: std::str::FromStr>(&mut self) -> Result<T, CrushError> {
        let word = self.peek();
        let plain = word.strip_prefix('-').unwrap_or(word).bytes().all(|b| b.is_ascii_digit());
        let n = word.parse().ok().filter(|_| plain).ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(n)
    }

    /// Takes a whole number if there is one.
    pub(super) fn maybe_int<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.int().ok()
    }

    /// Takes a number with or without decimals, as a weight in 16.16 fixed point.
    pub(super) fn weight(&mut self) -> Result<u32, CrushError> {
        let n = self.maybe_weight().ok_or_else(|| self.unexpected())?;
        Ok(n)
    }

    /// Takes a weight if there is one.
    pub(super) fn maybe_weight(&mut self) -> Option<u32> {
        let n: f32 = self.peek().parse().ok()?;
        // The largest 32-bit float below 2^32, and no NaN.
        if !(0.0..=4_294_967_040.0).contains(&(n * 65_536.0)) {
            return None;
        }
        self.at += 1;
        Some(crate::weight_from_f32(n))
    }

    /// The error that the next word does not belong here.
    pub(super) fn unexpected(&self) -> CrushError {
        let rest: Vec<&str> = self.words[self.at.min(self.words.len())..]
            .iter()
            .take_while(|w| w.line == self.line())
            .map(|w| w.text)
            .collect();
        self.error(format!("error: parse error at '{}'", rest.join(" ")))
    }

    /// An error at this place.
    pub(super) fn error(&self, message: String) -> CrushError {
        CrushError::Text { line: self.line(), message }
    }
}

fn split_words<'t>(content: &'t str, mut take: impl FnMut(&'t str)) {
    for part in content.split_whitespace() {
        let mut rest = part;
        while !rest.is_empty() {
            let at = rest.find(['{', '}', '[', ']']).unwrap_or(rest.len());
            // A bracket is a word of its own.
            let (word, tail) = rest.split_at(at.max(1));
            take(word);
            rest = tail;
        }
    }
}
