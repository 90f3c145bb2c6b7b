//! Frames on the local socket: `u32 length | u8 command | payload` (PP-IPC-2).

use crate::ipc::{Frame, MAX_FRAME};
use bytes::{BufMut, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The bytes of one frame.
#[must_use]
pub fn encode_frame(frame: &Frame) -> Bytes {
    //= spec/ipc.md#pp-ipc-2
    //# A frame is a length of 32 bits, a command byte and a payload; the length counts both.
    let length = frame.payload.len() + 1;
    let mut out = BytesMut::with_capacity(length + 4);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_u8(frame.command);
    out.put_slice(&frame.payload);
    out.freeze()
}

/// Reads one frame; `None` when the other side ended between frames.
///
/// # Errors
///
/// The socket's errors, and `InvalidData` for a length of zero or above [`MAX_FRAME`]: the stream cannot be read on.
/// Not cancel-safe: a dropped call may have taken half a frame.
pub async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0u8; 4];
    if reader.read(head.get_mut(..1).unwrap_or_default()).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(head.get_mut(1..).unwrap_or_default()).await?;
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    //= spec/ipc.md#pp-ipc-3
    //# A frame length of 0 or above 1 MiB ends the connection.
    if length == 0 || length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame length outside 1..=1048576"));
    }
    let command = reader.read_u8().await?;
    let mut payload = BytesMut::zeroed(length - 1);
    reader.read_exact(&mut payload).await?;
    Ok(Some(Frame { command, payload: payload.freeze() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/ipc.md#pp-ipc-2
    //= type=test
    //# A frame is a length of 32 bits, a command byte and a payload; the length counts both.
    #[tokio::test]
    async fn the_length_counts_command_and_payload() {
        let frame = Frame { command: 0x0D, payload: Bytes::from_static(b"ab") };
        let bytes = encode_frame(&frame);
        assert_eq!(&bytes[..], [0, 0, 0, 3, 0x0D, b'a', b'b']);
        assert_eq!(read_frame(&mut &bytes[..]).await.unwrap(), Some(frame));
        assert_eq!(read_frame(&mut &bytes[..0]).await.unwrap(), None);
    }
}
