use super::events::{Event, read_event};
use super::exchange::{Frame, MAX_ACK, MessageKind, RawFrame, read_frame, write_frame};
use super::filestream::{Body, Message, TransferId};
use super::send::negotiation;
use super::{SendError, send_file, send_message};
use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from)
}

fn bodies() -> impl Strategy<Value = Body> {
    prop_oneof![
        (any::<(u64, u32)>(), any::<[u8; 32]>(), ".*").prop_map(|((size, chunk), sha256, name)| Body::Init {
            size,
            sha256,
            chunk,
            name
        }),
        (any::<u64>(), bytes()).prop_map(|(offset, data)| Body::Chunk { offset, data }),
        any::<u64>().prop_map(Body::Ack),
        any::<u64>().prop_map(Body::InitAck),
        Just(Body::Done),
        ".*".prop_map(|failure| Body::Complete { failure }),
        ".*".prop_map(Body::Abort),
    ]
}

proptest! {
    #[test]
    fn transfer_messages_survive_a_round_trip(id: [u8; 16], body in bodies()) {
        let message = Message { id: TransferId(id), body };
        prop_assert_eq!(Message::parse(&message.encode()), Some(message));
    }

    #[test]
    fn exchange_frames_survive_a_round_trip(kind in 0_u32..12, payload in bytes()) {
        let raw = RawFrame { kind, payload };
        if let Ok(frame) = Frame::parse(raw.clone()) {
            let again = Frame::parse(frame.encode()).unwrap();
            prop_assert_eq!(again.ack(), frame.ack());
            prop_assert_eq!(again, frame);
        }
        let _ = Message::parse(&raw.payload);
    }
}

async fn said(receiver: &mut DuplexStream) -> Frame {
    Frame::parse(read_frame(receiver, MAX_ACK).await.unwrap().unwrap()).unwrap()
}

async fn says(receiver: &mut DuplexStream, text: &str) {
    write_frame(receiver, &Frame::Text(Bytes::copy_from_slice(text.as_bytes())).encode()).await.unwrap();
}

#[tokio::test]
async fn a_message_is_delivered_only_when_acknowledged() {
    for (answer, delivered) in [("ACK TEXT 2 bytes", true), ("ERR TEXT save failed: quota", false)] {
        let (mut sender, mut receiver) = duplex(4096);
        let sending =
            tokio::spawn(async move { send_message(&mut sender, MessageKind::Text, Bytes::from_static(b"hi")).await });
        assert_eq!(said(&mut receiver).await, Frame::Text(Bytes::from_static(b"hi")));
        says(&mut receiver, answer).await;
        match sending.await.unwrap() {
            Ok(ack) => assert!(delivered && ack == answer),
            Err(SendError::Refused(why)) => assert!(!delivered && why == answer),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_file_resumes_where_the_receiver_says() {
    let (mut sender, mut receiver) = duplex(64 * 1024);
    let content: Vec<u8> = (0..100_000_u32).map(|n| n.to_be_bytes()[3]).collect();
    let expected = content.clone();
    let sending = tokio::spawn(async move {
        send_file(&mut sender, "f.bin", 100_000, [7; 32], &mut std::io::Cursor::new(content), |_| {}).await
    });
    let Frame::FileStream(init) = said(&mut receiver).await else { panic!("not a transfer") };
    let Some(Message { id, body: Body::Init { size: 100_000, .. } }) = Message::parse(&init) else {
        panic!("{init:?}")
    };
    let mut reply = async |body| {
        let frame = Frame::FileStream(Message { id, body }.encode()).encode();
        write_frame(&mut receiver, &frame).await.unwrap();
        Frame::parse(read_frame(&mut receiver, MAX_ACK).await.unwrap().unwrap()).unwrap()
    };
    let mut got = Vec::new();
    let mut next = reply(Body::InitAck(60_000)).await;
    loop {
        let Frame::FileStream(payload) = next else { panic!("not a transfer") };
        let body = Message::parse(&payload).unwrap().body;
        if body == Body::Done {
            break;
        }
        let Body::Chunk { offset, data } = body else { panic!("{body:?}") };
        assert_eq!(offset, 60_000 + u64::try_from(got.len()).unwrap());
        got.extend_from_slice(&data);
        next = reply(Body::Ack(60_000 + u64::try_from(got.len()).unwrap())).await;
    }
    let done = Frame::FileStream(Message { id, body: Body::Complete { failure: String::new() } }.encode());
    write_frame(&mut receiver, &done.encode()).await.unwrap();
    let sent = sending.await.unwrap().unwrap();
    assert_eq!((sent.resumed, sent.verified, sent.transport), (60_000, true, "filestream"));
    assert_eq!(got, expected[60_000..]);
}

/// A receiver hashes what it has before it answers; one that is never waited for long enough never gets the rest.
#[test]
fn a_receiver_of_much_has_the_time_to_hash_it() {
    const GIBIBYTE: u64 = 1 << 30;
    assert_eq!(negotiation(0).as_secs(), 5);
    for gibibytes in [1, 20, 1000] {
        let slow = gibibytes * GIBIBYTE / 20_000_000;
        assert!(negotiation(gibibytes * GIBIBYTE).as_secs() > slow, "{gibibytes} GiB");
    }
    assert!(negotiation(u64::MAX).as_secs() > 0);
}

#[tokio::test]
async fn an_old_receiver_gets_the_whole_file_in_one_frame() {
    let (mut sender, mut receiver) = duplex(64 * 1024);
    let mut source = std::io::Cursor::new(b"hello".to_vec());
    source.set_position(5); // where the caller's hashing has left it
    let sending = tokio::spawn(async move { send_file(&mut sender, "f.txt", 5, [7; 32], &mut source, |_| {}).await });
    let init = said(&mut receiver).await;
    says(&mut receiver, &format!("ACK UNKNOWN(7) {} bytes", init.acknowledged_length())).await;
    let whole = said(&mut receiver).await;
    assert_eq!(whole, Frame::File { name: "f.txt".into(), data: Bytes::from_static(b"hello") });
    says(&mut receiver, &whole.ack()).await;
    assert_eq!(sending.await.unwrap().unwrap().transport, "file");
}

#[tokio::test]
async fn events_are_read_as_recorded_and_limits_hold() {
    let recorded = [0, 4, b'n', b'e', b'w', b's', 0, 0, 0, 4, b'e', b'v', b't', b'1'];
    let event = Event { topic: "news".into(), payload: Bytes::from_static(b"evt1") };
    assert_eq!(&event.encode()[..], recorded);
    assert_eq!(read_event(&mut &recorded[..]).await.unwrap(), Some(event));
    assert_eq!(read_event(&mut &[][..]).await.unwrap(), None);
    assert!(read_event(&mut &[0xFF, 0xFF][..]).await.is_err());
    assert!(read_event(&mut &[0, 0, 0xFF, 0, 0, 0][..]).await.is_err());
    let (mut sender, mut receiver) = duplex(64);
    sender.write_all(&[0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF]).await.unwrap();
    assert!(read_frame(&mut receiver, 1024).await.is_err());
}

//= spec/services.md#pp-svc-1
//= type=test
//# A data-exchange frame is a type and a length of 32 bits each and the payload.
//= spec/services.md#pp-svc-2
//= type=test
//# Type 1 is text, 2 bytes, 3 JSON, 4 a file with its name.
#[tokio::test]
async fn a_frame_is_a_type_and_a_length_and_the_payload() {
    let file = Frame::File { name: "n.txt".into(), data: Bytes::from_static(b"data") };
    for (frame, bytes) in [
        (MessageKind::Text.frame("hi".into()), b"\0\0\0\x01\0\0\0\x02hi".as_slice()),
        (MessageKind::Binary.frame("hi".into()), b"\0\0\0\x02\0\0\0\x02hi"),
        (MessageKind::Json.frame("{}".into()), b"\0\0\0\x03\0\0\0\x02{}"),
        (file, b"\0\0\0\x04\0\0\0\x0b\0\x05n.txtdata"),
    ] {
        let mut written = Vec::new();
        write_frame(&mut written, &frame.encode()).await.unwrap();
        assert_eq!(written, bytes);
        let read = read_frame(&mut &written[..], 1024).await.unwrap().unwrap();
        assert_eq!(Frame::parse(read), Ok(frame));
    }
}

//= spec/services.md#pp-svc-10
//= type=test
//# An event is a topic with a length of 16 bits, at most 1024 bytes, and a payload with a length of 32 bits, at most 16 MiB.
#[tokio::test]
async fn an_event_has_a_topic_of_1024_bytes_and_16_mebibytes_at_most() {
    let longest = Event { topic: "t".repeat(1024), payload: vec![7; 16 * 1024 * 1024].into() };
    let bytes = longest.encode();
    assert_eq!((&bytes[..2], bytes.len()), (&[4, 0][..], 2 + 1024 + 4 + 16 * 1024 * 1024));
    assert_eq!(read_event(&mut &bytes[..]).await.unwrap(), Some(longest));
    let topic = [&[4, 1][..], &[b't'; 1025], &[0; 4]].concat();
    assert!(read_event(&mut &topic[..]).await.is_err());
    let payload = [&[0, 1, b't', 1, 0, 0, 1][..], &vec![7; 16 * 1024 * 1024 + 1]].concat();
    assert!(read_event(&mut &payload[..]).await.is_err());
}
