use super::events::{Event, read_event};
use super::exchange::{Frame, MAX_ACK, MessageKind, RawFrame, read_frame, write_frame};
use super::filestream::{Body, Message, TransferId};
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
