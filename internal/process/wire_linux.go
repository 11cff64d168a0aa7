package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// What crosses the socket between this program and a keeper. Both are the same
// binary, so there is no version; but a keeper's memory is in the hands of the
// user that it runs as, so nothing that comes from it is believed without bounds.
//
//	frame = u32 length of what follows | u8 kind | fields
//	field = u64 (numbers, booleans, durations in ns, times in unix ns)
//	      | u32 (user and group ids)
//	      | u32 length, bytes (strings) | u32 count, strings or ids (lists)
//
// All integers are big endian.

const (
	maxOrder  = 8 << 20  // more than the largest argv and environment Linux takes (6 MiB)
	maxReport = 16 << 10 // the texts of reports are short
)

// message is a frame's content. fields visits its fields in wire order, for
// reading and writing alike.
type message interface {
	kind() byte
	fields(c codec)
}

// codec reads or writes fields.
type codec interface {
	number(*int64)
	flag(*bool)
	text(*string)
	list(*[]string)
	id(*uint32)
	ids(*[]uint32)
}

// Orders go to the keeper.
type (
	// startOrder is the first one.
	startOrder struct {
		spec  Spec // Stdin to Files and the content of Term do not travel
		term  bool // the keeper's descriptors 0, 1 and 2 are a terminal for the command
		files int  // how many of the keeper's, from keeperFD+1 on, are the command's from 3 on
		grace time.Duration
	}
	// confirmOrder says that the command's start was noticed. Until then the
	// orphan policy is to kill: nobody could know of the command.
	confirmOrder struct{}
	// signalOrder is answered by a signalReport with its id.
	signalOrder struct {
		id, sig int64
		to      Target
	}
	// endOrder runs the ladder, killOrder only its last step. The keeper exits
	// when its tree is empty, which is the answer.
	endOrder  struct{ grace time.Duration }
	killOrder struct{}
	// releaseOrder makes the keeper's end harmless to its tree: it exits as soon
	// as it has reported the command's end.
	releaseOrder struct{}
)

// Reports come from the keeper.
type (
	// startedReport or failedReport is the first one.
	startedReport struct{ pid int64 }
	failedReport  struct {
		code, reason string
		errno        int64
	}
	// exitedReport is the command's end.
	exitedReport struct{ state State }
	signalReport struct {
		id     int64
		errno  int64 // 0: sent
		reason string
	}
)

func (*startOrder) kind() byte    { return 1 }
func (*signalOrder) kind() byte   { return 2 }
func (*endOrder) kind() byte      { return 3 }
func (*killOrder) kind() byte     { return 4 }
func (*releaseOrder) kind() byte  { return 5 }
func (*confirmOrder) kind() byte  { return 6 }
func (*startedReport) kind() byte { return 129 }
func (*failedReport) kind() byte  { return 130 }
func (*exitedReport) kind() byte  { return 131 }
func (*signalReport) kind() byte  { return 132 }

func newMessage(kind byte) (message, error) {
	for _, m := range []message{
		&startOrder{}, &signalOrder{}, &endOrder{}, &killOrder{}, &releaseOrder{}, &confirmOrder{},
		&startedReport{}, &failedReport{}, &exitedReport{}, &signalReport{},
	} {
		if m.kind() == kind {
			return m, nil
		}
	}
	return nil, fmt.Errorf("keeper protocol: unknown kind %d", kind)
}

func (m *startOrder) fields(c codec) {
	c.text(&m.spec.Path)
	c.list(&m.spec.Args)
	c.list(&m.spec.Env)
	c.text(&m.spec.Dir)
	c.flag(&m.spec.DirOptional)
	credential(c, &m.spec.Credential)
	c.flag(&m.spec.Keep)
	c.flag(&m.term)
	number(c, &m.files)
	number(c, &m.grace)
}

func (m *signalOrder) fields(c codec) {
	c.number(&m.id)
	c.number(&m.sig)
	number(c, &m.to)
}

func (m *endOrder) fields(c codec)      { number(c, &m.grace) }
func (m *killOrder) fields(codec)       {}
func (m *releaseOrder) fields(codec)    {}
func (m *confirmOrder) fields(codec)    {}
func (m *startedReport) fields(c codec) { c.number(&m.pid) }

func (m *failedReport) fields(c codec) {
	c.text(&m.code)
	c.text(&m.reason)
	c.number(&m.errno)
}

func (m *exitedReport) fields(c codec) {
	s := &m.state
	number(c, &s.Code)
	number(c, &s.Signal)
	c.text(&s.SignalName)
	c.flag(&s.Core)
	number(c, &s.UserTime)
	number(c, &s.SystemTime)
	c.number(&s.MaxRSS)
	instant(c, &s.Started)
	instant(c, &s.Ended)
}

func (m *signalReport) fields(c codec) {
	c.number(&m.id)
	c.number(&m.errno)
	c.text(&m.reason)
}

// credential visits an optional Credential: a flag, and its fields if it is set.
func credential(c codec, v **Credential) {
	set := *v != nil
	if c.flag(&set); !set {
		return
	}
	if *v == nil {
		*v = &Credential{}
	}
	c.id(&(*v).UID)
	c.id(&(*v).GID)
	c.ids(&(*v).Groups)
}

func number[T ~int | ~int64](c codec, v *T) {
	n := int64(*v)
	c.number(&n)
	*v = T(n)
}

func instant(c codec, t *time.Time) {
	var n int64
	if !t.IsZero() {
		n = t.UnixNano()
	}
	c.number(&n)
	if *t = time.Unix(0, n); n == 0 {
		*t = time.Time{}
	}
}

// writer encodes.
type writer struct{ b []byte }

func (w *writer) number(v *int64) { w.b = binary.BigEndian.AppendUint64(w.b, uint64(*v)) }

func (w *writer) flag(v *bool) {
	var n int64
	if *v {
		n = 1
	}
	w.number(&n)
}

func (w *writer) text(v *string) {
	w.b = append(binary.BigEndian.AppendUint32(w.b, uint32(len(*v))), *v...)
}

func (w *writer) list(v *[]string) {
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(len(*v)))
	for i := range *v {
		w.text(&(*v)[i])
	}
}

func (w *writer) id(v *uint32) { w.b = binary.BigEndian.AppendUint32(w.b, *v) }

func (w *writer) ids(v *[]uint32) {
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(len(*v)))
	for i := range *v {
		w.id(&(*v)[i])
	}
}

// reader decodes and keeps the first error; after one every field is zero.
type reader struct {
	b   []byte
	err error
}

var errMalformed = errors.New("keeper protocol: malformed frame")

func (r *reader) take(n int) []byte {
	if r.err != nil || n > len(r.b) {
		r.err = errMalformed
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) number(v *int64) {
	*v = 0
	if b := r.take(8); b != nil {
		*v = int64(binary.BigEndian.Uint64(b))
	}
}

func (r *reader) flag(v *bool) {
	var n int64
	r.number(&n)
	if *v = n == 1; n != 0 && n != 1 {
		r.err = errMalformed
	}
}

// length reads a count of things that take at least size bytes each, so that
// no count makes us allocate more than the frame holds.
func (r *reader) length(size int) int {
	b := r.take(4)
	if b == nil {
		return 0
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n)*uint64(size) > uint64(len(r.b)) {
		r.err = errMalformed
		return 0
	}
	return int(n)
}

func (r *reader) text(v *string) { *v = string(r.take(r.length(1))) }

func (r *reader) list(v *[]string) {
	*v = make([]string, r.length(4))
	for i := range *v {
		r.text(&(*v)[i])
	}
}

func (r *reader) id(v *uint32) {
	*v = 0
	if b := r.take(4); b != nil {
		*v = binary.BigEndian.Uint32(b)
	}
}

func (r *reader) ids(v *[]uint32) {
	if n := r.length(4); n > 0 { // none is nil, as it was
		*v = make([]uint32, n)
	}
	for i := range *v {
		r.id(&(*v)[i])
	}
}

// encodeFrame returns the frame of m.
func encodeFrame(m message) ([]byte, error) {
	w := writer{b: []byte{0, 0, 0, 0, m.kind()}}
	m.fields(&w)
	size := len(w.b) - 4
	if size > maxOrder || size > math.MaxInt32 {
		return nil, fmt.Errorf("keeper protocol: frame of %d bytes", size)
	}
	binary.BigEndian.PutUint32(w.b, uint32(size))
	return w.b, nil
}

// decodeFrame is the inverse of encodeFrame, without the length.
func decodeFrame(b []byte) (message, error) {
	if len(b) == 0 {
		return nil, errMalformed
	}
	m, err := newMessage(b[0])
	if err != nil {
		return nil, err
	}
	r := reader{b: b[1:]}
	m.fields(&r)
	if r.err == nil && len(r.b) > 0 {
		r.err = errMalformed
	}
	return m, r.err
}

func writeFrame(w io.Writer, m message) error {
	b, err := encodeFrame(m)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// readFrame reads one frame of at most limit bytes. io.EOF means that the
// other side ended between frames.
func readFrame(r io.Reader, limit uint32) (message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > limit {
		return nil, fmt.Errorf("keeper protocol: frame of %d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("keeper protocol: %w", io.ErrUnexpectedEOF)
	}
	return decodeFrame(b)
}
