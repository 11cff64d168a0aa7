package mux

import (
	"reflect"
	"sync"
	"unsafe"

	"github.com/hashicorp/yamux"
)

// Pending returns what yamux keeps of opened streams: the ids without an ACK and the taken places of its semaphore.
func (s *Session) Pending() (inflight, places int) {
	ys := reflect.ValueOf(s.ys).Elem()
	lock := (*sync.Mutex)(unsafe.Pointer(ys.FieldByName("streamLock").UnsafeAddr()))
	lock.Lock()
	defer lock.Unlock()
	return ys.FieldByName("inflight").Len(), ys.FieldByName("synCh").Len()
}

// BufferCap returns the size of yamux's receive buffer for the stream, -1 when yamux's stream has been let go.
func (r *ReceiveStream) BufferCap() int {
	ys := r.f.ys.Load()
	if ys == nil {
		return -1
	}
	stream := reflect.ValueOf(ys).Elem()
	lock := (*sync.Mutex)(unsafe.Pointer(stream.FieldByName("recvLock").UnsafeAddr()))
	lock.Lock()
	defer lock.Unlock()
	buf := stream.FieldByName("recvBuf")
	if buf.IsNil() {
		return 0
	}
	return buf.Elem().FieldByName("buf").Cap()
}

// YamuxConfig returns what a session gives to yamux.
func YamuxConfig(cfg *Config) (*yamux.Config, error) {
	full, err := cfg.withDefaults()
	return full.yamuxConfig(), err
}
