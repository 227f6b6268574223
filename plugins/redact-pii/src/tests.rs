//! What is redacted and what is not, as tables; then the hook itself.

use cofferdam_guest::{Choice, Field, FunctionCall, HookError, Message, Part, Plugin, PostOutcome, Replaced, TextPart, ToolCall, testing};

use crate::RedactPii;
use crate::redact::{Kinds, redact};

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(redact(text, Kinds::ALL).as_deref().unwrap_or(text), *expected, "in {text:?}");
    }
}

#[track_caller]
fn check_untouched(texts: &[&str]) {
    for text in texts {
        assert_eq!(redact(text, Kinds::ALL), None, "in {text:?}");
    }
}

#[test]
fn email_addresses_are_redacted() {
    check(&[
        ("write to jane.doe+news@mail.example.co.uk.", "write to [redacted e-mail]."),
        ("<jane@example.org>, (joe@example.org); \"jim@example.org\"", "<[redacted e-mail]>, ([redacted e-mail]); \"[redacted e-mail]\""),
        ("[mail](mailto:jane@example.org?subject=x)", "[mail](mailto:[redacted e-mail]?subject=x)"),
        ("[jane@example.org](mailto:jane%40example.org)", "[[redacted e-mail]](mailto:[redacted e-mail])"),
        ("`jane@example.org` and **jane@example.org**", "`[redacted e-mail]` and **[redacted e-mail]**"),
        ("_jane@example.org_", "_[redacted e-mail]_"),
        ("to = 'jane@example.org'; cc='joe@example.org'", "to = '[redacted e-mail]'; cc='[redacted e-mail]'"),
        ("?to=jane@example.org&x=1", "?to=[redacted e-mail]&x=1"),
        ("o'brien@example.org", "[redacted e-mail]"),
        ("\"john doe\"@example.org", "[redacted e-mail]"),
        ("jörg@müller.example", "[redacted e-mail]"),
        ("请联系jane@example.com谢谢", "请联系[redacted e-mail]谢谢"),
        ("用户@例子.广告", "[redacted e-mail]"),
        ("jane@example.com으로 보내세요", "[redacted e-mail]으로 보내세요"),
        ("jane@xn--mller-kva.example", "[redacted e-mail]"),
        ("JANE@EXAMPLE.ORG", "[redacted e-mail]"),
        ("jane@example.org:secret", "[redacted e-mail]:secret"),
        ("mail jane@example.org.Thanks", "mail [redacted e-mail].Thanks"),
        ("...jane@example.org...", "...[redacted e-mail]..."),
        ("jane@example.org,joe@example.org", "[redacted e-mail],[redacted e-mail]"),
        ("jane@example.org/joe@example.org", "[redacted e-mail]/[redacted e-mail]"),
        ("12345@example.org 🦀jane@example.org🦀", "[redacted e-mail] 🦀[redacted e-mail]🦀"),
        ("jane＠example.org", "[redacted e-mail]"),
    ]);
}

#[test]
fn what_only_looks_like_an_address_stays() {
    check_untouched(&[
        "",
        "no address here",
        "@media screen and @example.org",
        "me @ home",
        "root@localhost",
        "git clone git@github.com:org/repo.git",
        "npm i react@18.2.0 @scope/pkg@1.2.3",
        "icon@2x.png",
        "a@b@",
        "50%40 off",
        "x = y @ z.T",
        "user@.org",
        "@",
    ]);
}

#[test]
fn card_numbers_are_redacted() {
    check(&[
        ("4111111111111111", "[redacted card]"),
        ("Card: 4111 1111 1111 1111.", "Card: [redacted card]."),
        ("4111-1111-1111-1111", "[redacted card]"),
        ("4111\u{a0}1111\u{a0}1111\u{a0}1111", "[redacted card]"),
        ("(5555555555554444)", "([redacted card])"),
        ("3782 822463 10005 and 378282246310005", "[redacted card] and [redacted card]"),
        ("3056 930902 5904", "[redacted card]"),
        ("4222222222222", "[redacted card]"),
        ("6011111111111117, 3530111333300000, 6200000000000005", "[redacted card], [redacted card], [redacted card]"),
        ("6304000000000000000", "[redacted card]"),
        ("`4242424242424242`", "`[redacted card]`"),
        ("4111 1111 1111 1111 12/27 123", "[redacted card] 12/27 123"),
        ("order 12 4111 1111 1111 1111", "order 12 [redacted card]"),
        ("jane,4111111111111111,12,2027", "jane,[redacted card],12,2027"),
        ("卡号4111111111111111。", "卡号[redacted card]。"),
        ("card=4111111111111111&cvc=123", "card=[redacted card]&cvc=123"),
        // Nobody issues this one, but it is written as a card is.
        ("1234 5678 1234 5670", "[redacted card]"),
    ]);
}

#[test]
fn what_only_looks_like_a_card_stays() {
    check_untouched(&[
        "4111 1111 1111 1112",
        "4111111111111112",
        "411111111111",
        "41111111111111111111",
        // The checksum is right, the rest is not: milliseconds, a barcode, an identifier, zeros.
        "1700000000003",
        "9780306406157",
        "1234567812345670",
        "0000 0000 0000 0000",
        "0.4111111111111111",
        "4111111111111111.5",
        "a4111111111111111",
        "4111111111111111b",
        "DE89 3704 0044 0532 0130 00",
        "550e8400-e29b-41d4-a716-446655440000",
        "4111\n1111\n1111\n1111",
        "4111.1111.1111.1111",
    ]);
}

#[test]
fn phone_numbers_are_redacted() {
    check(&[
        ("+49 30 1234567", "[redacted phone]"),
        ("+49 (0)30 1234567", "[redacted phone]"),
        ("+49(0)30/1234567", "[redacted phone]"),
        ("(+49) 30 1234567", "[redacted phone]"),
        ("+491701234567", "[redacted phone]"),
        ("+49 170 1234-567, please", "[redacted phone], please"),
        ("0049 30 1234567 or 00491701234567", "[redacted phone] or [redacted phone]"),
        ("+1 (555) 123-4567", "[redacted phone]"),
        ("+1-555-123-4567", "[redacted phone]"),
        ("+1.5551234567", "[redacted phone]"),
        ("+33 1 23 45 67 89", "[redacted phone]"),
        ("+44 20 7946 0958.", "[redacted phone]."),
        ("(555) 123-4567", "[redacted phone]"),
        ("(555)123-4567", "[redacted phone]"),
        ("(call 555-123-4567)", "(call [redacted phone])"),
        ("555.123.4567, 555 123 4567, 1-800-555-0199", "[redacted phone], [redacted phone], [redacted phone]"),
        ("555-123-4567x89", "[redacted phone]x89"),
        ("Room 12 555-123-4567", "Room 12 [redacted phone]"),
        ("030 1234567", "[redacted phone]"),
        ("(030) 123456789", "[redacted phone]"),
        ("0170/1234567 or 0170 / 12 34 567", "[redacted phone] or [redacted phone]"),
        ("01 23 45 67 89 / 01.23.45.67.89", "[redacted phone] / [redacted phone]"),
        ("020 7946 0958", "[redacted phone]"),
        ("07911 123456", "[redacted phone]"),
        ("Tel.: 5551234567", "Tel.: [redacted phone]"),
        ("my phone number is 555-1234", "my phone number is [redacted phone]"),
        ("{\"phoneNumber\":\"01701234567\"}", "{\"phoneNumber\":\"[redacted phone]\"}"),
        ("[call](tel:+4930123456)", "[call](tel:[redacted phone])"),
        ("[call](tel:5551234567)", "[call](tel:[redacted phone])"),
        ("`+49 30 1234567`", "`[redacted phone]`"),
        ("+49\u{a0}30\u{a0}1234567", "[redacted phone]"),
        ("电话+4930123456。", "电话[redacted phone]。"),
        ("+49 30 1234567 at 12:30", "[redacted phone] at 12:30"),
        ("+49 30 1234567 12:30", "[redacted phone] 12:30"),
        ("+49 30 1234567 3rd floor", "[redacted phone] 3rd floor"),
        ("+49 170 12345678 10115 Berlin", "[redacted phone] 10115 Berlin"),
        ("+49 30 1234567\n10115 Berlin", "[redacted phone]\n10115 Berlin"),
    ]);
}

#[test]
fn what_only_looks_like_a_phone_number_stays() {
    check_untouched(&[
        // Dates and times.
        "2024-01-15",
        "2024-01-15T10:20:30+01:00",
        "2024-01-15 10:20:30.123456",
        "15.01.2024 12:30",
        "01.02.2024 12:30",
        "01/02/2024",
        "01-02-2024 12",
        "UTC+0200",
        "1700000000",
        "20240115",
        // Addresses and versions.
        "192.168.100.200",
        "10.0.0.1:8080",
        "255.255.255.0",
        "v1.555.123.4567",
        // Decimals and large numbers.
        "3.14159265358979",
        "+48.858844, +2.294351",
        "+12.345.678",
        "+12 345 678",
        "1,234,567,890",
        "1 234 567 890",
        "0.30 1234567",
        "1+23456789",
        "100 200 3000",
        "200 300 4000 5000",
        // Order numbers and the like.
        "Order #1234567890",
        "order 12345678",
        "order no. 555-123-4567",
        "Bestellnummer 0815-4711-22",
        "Rechnung Nr. 0123 4567890",
        "ORD-2024-001234",
        "ORD-555-123-4567",
        "https://example.org/orders/555-123-4567",
        "ticket 555-123-4567",
        "0012345678",
        "0123 4567 8901 2345",
        "48 8d 05 56 00 00 00 01 02 03",
        "01 02 03 04 05 06 07 08 09 10",
        "ISBN 978-3-16-148410-0",
        "123-45-6789",
        "DE89 3704 0044 0532 0130 00",
        "550e8400-e29b-41d4-a716-446655440000",
        "pages 100-200, 2010-2014",
        "10115 Berlin",
        "called 1234567 times",
    ]);
}

#[test]
fn several_kinds_in_one_text_are_each_redacted() {
    check(&[(
        "Jane (jane@example.org, +49 30 1234567) paid with 4111 1111 1111 1111 on 2024-01-15.",
        "Jane ([redacted e-mail], [redacted phone]) paid with [redacted card] on 2024-01-15.",
    )]);
}

#[test]
fn a_redacted_text_has_nothing_left_to_redact() {
    let once = redact("jane@example.org +49 30 1234567 4111111111111111", Kinds::ALL).unwrap();
    assert_eq!(once, "[redacted e-mail] [redacted phone] [redacted card]");
    assert_eq!(redact(&once, Kinds::ALL), None);
}

#[test]
fn only_the_wanted_kinds_are_redacted() {
    let text = "jane@example.org +49 30 1234567 4111111111111111";
    let only = |kinds| redact(text, kinds).unwrap();
    assert_eq!(only(Kinds { email: true, ..Kinds::NONE }), "[redacted e-mail] +49 30 1234567 4111111111111111");
    assert_eq!(only(Kinds { phone: true, ..Kinds::NONE }), "jane@example.org [redacted phone] 4111111111111111");
    assert_eq!(only(Kinds { card: true, ..Kinds::NONE }), "jane@example.org +49 30 1234567 [redacted card]");
    assert_eq!(redact(text, Kinds::NONE), None);
}

#[test]
fn long_texts_take_time_in_proportion() {
    let text = "a@1 1.".repeat(100_000) + &"@".repeat(100_000) + &"1 ".repeat(100_000) + &"a".repeat(100_000);
    assert_eq!(redact(&text, Kinds::ALL), None);
}

fn field(name: &str, value: &str) -> Field {
    Field { name: name.into(), value: value.into() }
}

#[test]
fn a_reply_without_personal_data_is_kept() {
    testing::set_config("{}");
    assert_eq!(RedactPii::on_reply(testing::reply("Nothing to hide, order 12345.")), Ok(PostOutcome::keep()));
}

#[test]
fn every_choice_is_looked_at_and_only_changed_ones_are_replaced() {
    testing::set_config("{}");
    let mut reply = testing::reply("Nothing.");
    reply.choices.push(Choice { index: 1, message: Message::assistant("jane@example.org"), finish_reason: None });
    let Ok(PostOutcome::Replace(replacement)) = RedactPii::on_reply(reply) else { panic!("nothing was replaced") };
    assert_eq!(replacement.messages, [Replaced { choice: 1, message: Message::assistant("[redacted e-mail]") }]);
}

#[test]
fn fields_beside_the_content_are_redacted_and_tool_calls_are_not() {
    testing::set_config("{}");
    let mut reply = testing::reply("");
    let message = &mut reply.choices[0].message;
    let call = FunctionCall { id: "1".into(), name: "mail".into(), arguments: "{\"to\":\"jane@example.org\"}".into(), extra: Vec::new() };
    message.tool_calls.push(ToolCall::Function(call.clone()));
    message.content = vec![
        Part::Text(TextPart { text: "fine".into(), extra: vec![field("annotations", "[ {\"by\":\"jane@example.org\", \"n\": 1.50} ]")] }),
        Part::Other("{\"type\":\"refusal\",\"refusal\":\"jane@example.org\",\"id\":\"jane@example.org\"}".into()),
    ];
    message.extra = vec![
        field("reasoning_content", "\"She is\\n\\\"jane@example.org\\\"\""),
        field("function_call", "{\"arguments\":\"jane@example.org\"}"),
        field("refusal", "null"),
    ];
    let Ok(PostOutcome::Replace(replacement)) = RedactPii::on_reply(reply) else { panic!("nothing was replaced") };
    let Replaced { choice, message } = &replacement.messages[0];
    assert_eq!(*choice, 0);
    assert_eq!(message.tool_calls, [ToolCall::Function(call)]);
    assert!(matches!(&message.content[0], Part::Text(part) if part.extra[0].value == "[ {\"by\":\"[redacted e-mail]\", \"n\": 1.50} ]"));
    let refusal = "{\"type\":\"refusal\",\"refusal\":\"[redacted e-mail]\",\"id\":\"jane@example.org\"}";
    assert_eq!(message.content[1], Part::Other(refusal.into()));
    assert_eq!(message.extra[0].value, "\"She is\\n\\\"[redacted e-mail]\\\"\"");
    assert_eq!(message.extra[1].value, "{\"arguments\":\"jane@example.org\"}");
    assert_eq!(message.extra[2].value, "null");
}

#[test]
fn the_configuration_names_the_kinds() {
    testing::set_config(r#"{"kinds": ["card"]}"#);
    assert_eq!(RedactPii::on_reply(testing::reply("jane@example.org")), Ok(PostOutcome::keep()));
    testing::set_config(r#"{"kinds": ["card", "iban"]}"#);
    let Err(HookError::Unavailable(text)) = RedactPii::on_reply(testing::reply("")) else { panic!("an unknown kind was taken") };
    assert!(text.contains("unknown kind `iban`"), "{text}");
    testing::set_config(r#"{"kind": ["card"]}"#);
    let Err(HookError::Unavailable(text)) = RedactPii::on_reply(testing::reply("")) else { panic!("an unknown key was taken") };
    assert!(text.contains("`kind`"), "{text}");
}

#[test]
fn the_schema_is_json() {
    let schema: serde_json::Value = serde_json::from_str(RedactPii::CONFIG_SCHEMA.unwrap()).unwrap();
    assert_eq!(schema["properties"]["kinds"]["items"]["enum"].as_array().unwrap().len(), 3);
}
