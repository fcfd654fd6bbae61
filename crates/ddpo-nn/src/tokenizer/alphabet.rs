//! The printable stand-ins of bytes in byte-level vocabularies.

/// The character of every byte: printable bytes stand for themselves, the others for characters from U+0100 on, in the
/// order in which CLIP's vocabulary lists them.
pub(super) fn byte_characters() -> Vec<(u8, char)> {
    let printable = |byte: &u8| matches!(*byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let shown = (0..=u8::MAX).filter(printable).map(|byte| (byte, char::from(byte)));
    let hidden = (0..=u8::MAX).filter(|byte| !printable(byte)).zip('\u{100}'..);
    shown.chain(hidden).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_is_the_first_hidden_byte_after_the_control_characters() {
        let characters = byte_characters();
        assert_eq!(characters.len(), 256);
        assert!(characters.contains(&(b' ', 'Ġ')));
        assert_eq!(characters[0], (b'!', '!'));
    }
}
