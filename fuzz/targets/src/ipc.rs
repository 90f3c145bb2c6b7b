//! The local socket: frames, requests, replies.

use bytes::Bytes;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use driver::ipc::{Frame, MAX_FRAME, Reply, Request};
use driver::{encode_frame, read_frame};

fn frame_of(data: &[u8]) -> Option<Frame> {
    let (command, payload) = data.split_first()?;
    Some(Frame { command: *command, payload: Bytes::copy_from_slice(payload) })
}

/// A request is written so that it is read as the same.
pub fn ipc_request(data: &[u8]) {
    let Some(frame) = frame_of(data) else { return };
    match Request::decode(&frame) {
        Ok(request) => {
            let written = request.encode();
            assert_eq!(written.command, frame.command);
            assert_eq!(Request::decode(&written), Ok(request));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A reply is written so that it is read as the same.
pub fn ipc_reply(data: &[u8]) {
    let Some(frame) = frame_of(data) else { return };
    let Ok(reply) = Reply::decode(&frame) else { return };
    let written = reply.encode();
    assert_eq!(written.command, frame.command);
    assert_eq!(Reply::decode(&written), Ok(reply));
}

/// What a future that reads from memory gives: it never waits.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("memory made its reader wait"),
    }
}

/// Frames of a stream are written as they were read.
pub fn ipc_framing(data: &[u8]) {
    let mut rest = data;
    loop {
        let before = rest;
        match at_once(read_frame(&mut rest)) {
            Ok(Some(frame)) => {
                assert!(frame.payload.len() < MAX_FRAME);
                assert_eq!(encode_frame(&frame), before[..before.len() - rest.len()]);
            }
            Ok(None) => return assert!(before.is_empty()),
            Err(_) => return,
        }
    }
}
