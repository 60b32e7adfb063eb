use super::*;

#[test]
fn every_atom_of_gunicorn_is_known() {
    for name in
        ["h", "l", "u", "t", "r", "m", "U", "q", "H", "s", "B", "b", "f", "a", "T", "M", "D", "L", "p"]
    {
        assert!(Format::compile(&format!("x %({name})s")).is_ok(), "{name}");
    }
    let format =
        Format::compile("%({X-Thing}i)s %({x-thing}i)s %({Server}o)s %({HTTP_X_THING}e)s %({a}e)s").unwrap();
    assert_eq!(format.request_fields, [Box::from(*b"x-thing")] as [Box<[u8]>; 1]);
    assert_eq!(format.response_fields, [Box::from(*b"server")] as [Box<[u8]>; 1]);
}

#[test]
fn faults_are_reported() {
    for (text, part) in [
        ("%(zz)s", "no atom \"%(zz)s\""),
        ("%(h", "no end"),
        ("%(h)x", "no s"),
        ("100 % sure", "%%"),
        ("%({a}x)s", "no atom"),
    ] {
        let error = Format::compile(text).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_line_end_in_the_format_is_none_in_the_log() {
    let format = Format::compile("a\nb%%%(h)s").unwrap();
    assert_eq!(format.early[0], Early::Text((*b"a b%").into()));
}

#[test]
fn text_joins_what_is_known_first() {
    let format = Format::compile("%(h)s %(t)s \"%(m)s\" %(s)s %(B)s!").unwrap();
    let text = |text: &[u8]| Early::Text(text.into());
    assert_eq!(
        format.early,
        [
            Early::Value(RequestValue::Address),
            text(b" ["),
            Early::EndOfRun,
            text(b"] \""),
            Early::Value(RequestValue::Method),
            text(b"\" "),
            Early::EndOfRun,
        ]
    );
    assert_eq!(
        format.late,
        [
            Late::Run,
            Late::Value(EndValue::Time),
            Late::Run,
            Late::Value(EndValue::Status),
            Late::Text((*b" ").into()),
            Late::Value(EndValue::Bytes),
            Late::Text((*b"!").into()),
        ]
    );
}
