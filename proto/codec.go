package proto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// decMode and encMode are built once: the options are constant, so an error is
// a bug of this package. What decMode forbids is forbidden by checkShape
// already; it stays as a second opinion.
var (
	decMode = sync.OnceValue(func() cbor.DecMode {
		return must(cbor.DecOptions{
			DupMapKey:         cbor.DupMapKeyEnforcedAPF,
			IndefLength:       cbor.IndefLengthForbidden,
			TagsMd:            cbor.TagsForbidden,
			ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
			MaxNestedLevels:   4,
			MaxArrayElements:  MaxEntries,
			MaxMapPairs:       256,
			UTF8:              cbor.UTF8RejectInvalid,
			FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
			BignumTag:         cbor.BignumTagForbidden,
			NaN:               cbor.NaNDecodeForbidden,
			Inf:               cbor.InfDecodeForbidden,
			BinaryUnmarshaler: cbor.BinaryUnmarshalerNone,
			TextUnmarshaler:   cbor.TextUnmarshalerNone,
			IntDec:            cbor.IntDecConvertSignedOrFail,
		}.DecMode())
	})
	// encMode writes the core deterministic encoding of RFC 8949 section 4.2.1.
	encMode = sync.OnceValue(func() cbor.UserBufferEncMode {
		return must(cbor.EncOptions{
			Sort:          cbor.SortCoreDeterministic,
			IndefLength:   cbor.IndefLengthForbidden,
			TagsMd:        cbor.TagsForbidden,
			NilContainers: cbor.NilContainerAsEmpty,
		}.UserBufferEncMode())
	})
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic(err)
	}
	return mode
}

// Append appends the frame of m to dst and returns it. It fails with a
// [*FrameError] if m breaks a limit or a rule of the specification, so that
// nothing leaves that a peer ends the session for. Only what people read is
// cut instead: a refusal's message, the name of the software, dropped_env.
func Append(dst []byte, m *Message) ([]byte, error) {
	if err := m.check(); err != nil {
		return dst, err
	}
	start := len(dst)
	buf := bytes.NewBuffer(append(dst, 0, 0, 0, 0))
	if err := encMode().MarshalToBuffer(m.forWire(), buf); err != nil {
		return dst, frameErrorf("encode: %v", err)
	}
	frame := buf.Bytes()
	body := frame[start+4:]
	if err := checkShape(body); err != nil {
		return dst, err
	}
	binary.BigEndian.PutUint32(frame[start:], uint32(len(body)))
	return frame, nil
}

// Write writes the frame of m to w in one call of Write. It fails as [Append]
// does, before it wrote anything, or with the error of w.
func Write(w io.Writer, m *Message) error {
	frame, err := Append(nil, m)
	if err != nil {
		return err
	}
	_, err = w.Write(frame)
	return err
}

// Decode decodes the CBOR item of one frame and checks it against the
// specification: one known kind, every field known and of its type, required
// ones there, limits. Its errors are [*FrameError]. The result shares no memory
// with body.
func Decode(body []byte) (*Message, error) {
	if len(body) > MaxExecFrame {
		return nil, frameErrorf("frame of %d bytes exceeds %d", len(body), MaxExecFrame)
	}
	if err := checkShape(body); err != nil {
		return nil, err
	}
	var m Message
	if err := decMode().Unmarshal(body, &m); err != nil {
		return nil, frameErrorf("decode: %v", err)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	m.normalize()
	return &m, nil
}

// A Reader reads frames from a stream. It is not safe for concurrent use.
type Reader struct {
	r   *bufio.Reader
	max int
	buf []byte
	err error
}

// NewReader returns a Reader of frames of at most max bytes, which must be
// [MaxFrame] or, where exec may come, [MaxExecFrame]. It reads ahead: nothing
// else may read from r afterwards.
func NewReader(r io.Reader, max int) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 512), max: max}
}

// Next reads one frame. At the end of the stream it returns io.EOF; an end
// inside a frame is io.ErrUnexpectedEOF; a frame that breaks the specification
// is a [*FrameError]. After an error it returns the same one for ever: there is
// no way to find the next frame.
//
// A length that was only announced costs nothing: the buffer grows as bytes
// arrive, to at most twice of what came.
func (r *Reader) Next() (*Message, error) {
	if r.err != nil {
		return nil, r.err
	}
	m, err := r.next()
	r.err = err
	return m, err
}

func (r *Reader) next() (*Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || int64(n) > int64(r.max) {
		return nil, frameErrorf("frame of %d bytes, allowed are 1 to %d", n, r.max)
	}
	buf, err := readN(r.r, r.buf, int(n))
	if err != nil {
		return nil, err
	}
	const keep = 4 << 10 // most frames are small: an idle session holds no more
	if r.buf = buf; cap(buf) > keep {
		r.buf = nil
	}
	return Decode(buf)
}

// readN reads n bytes into buf, from its start, growing it only as they arrive:
// an announced length alone costs nothing. An end before that is
// io.ErrUnexpectedEOF.
func readN(r io.Reader, buf []byte, n int) ([]byte, error) {
	const step = 4 << 10
	buf = buf[:0]
	for len(buf) < n {
		have := len(buf)
		want := min(n-have, max(step, have))
		if cap(buf)-have < want {
			grown := make([]byte, have, have+want)
			copy(grown, buf)
			buf = grown
		}
		buf = buf[:have+want]
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return buf, nil
}
