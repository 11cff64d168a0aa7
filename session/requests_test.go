package session

import (
	"fmt"
	"slices"
	"testing"

	"github.com/rexec/rex/proto"
)

func signalRequest(name string, to Target) *proto.Message {
	return &proto.Message{Signal: &proto.Signal{ID: 1, Name: name, To: to}}
}

// names shows requests.
func names(list []*proto.Message) (out []string) {
	for _, m := range list {
		if m.Signal != nil {
			out = append(out, m.Signal.Name+" "+string(m.Signal.To))
		} else {
			out = append(out, fmt.Sprintf("%dx%d", m.Resize.Rows, m.Resize.Cols))
		}
	}
	return out
}

func TestRequestsKeepTheirOrder(t *testing.T) {
	r := newRequests()
	for range 3 {
		r.put(signalRequest("STOP", ToGroup))
		r.put(signalRequest("CONT", ToGroup))
	}
	<-r.came
	want := []string{"STOP group", "CONT group", "STOP group", "CONT group", "STOP group", "CONT group"}
	if got := names(r.take()); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	select {
	case <-r.came:
		t.Error("something waits")
	default:
	}
	if left := r.take(); left != nil {
		t.Errorf("left %v", left)
	}
}

// When there are too many, the last of each stays, and the order of those.
func TestRequestsDropWhatIsPointless(t *testing.T) {
	r := newRequests()
	for i := range maxRequests {
		r.put(signalRequest("STOP", ToGroup))
		r.put(&proto.Message{Resize: &proto.Resize{ID: 1, Rows: uint16(i), Cols: 80}})
	}
	for _, m := range []*proto.Message{
		signalRequest("CONT", ToGroup), signalRequest("STOP", ToTree), signalRequest("STOP", ToGroup),
	} {
		if !r.put(m) {
			t.Fatal("no room")
		}
	}
	got := names(lastOfEach(r.take()))
	want := []string{"127x80", "CONT group", "STOP tree", "STOP group"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	r := newRequests()
	for i := range maxRequests {
		if !r.put(signalRequest(fmt.Sprintf("X%d", i), ToTree)) {
			t.Fatalf("no room for the request %d", i)
		}
	}
	if r.put(signalRequest("ONE-MORE", ToTree)) {
		t.Error("there is room for one more")
	}
}
