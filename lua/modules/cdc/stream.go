package cdc

import (
	"context"
	"errors"
	"io"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// stream is what cdc.stream returns. Its fields are guarded by the lock of the process.
type stream struct {
	session *session
	id      registry.ID
	opts    api.StreamOptions

	// subscribing is closed when the subscription under way has been made or refused; nil if there is none.
	subscribing chan struct{}
	// producer and channel are set by the subscription.
	producer *producer
	channel  lua.LValue
	closed   bool
}

func newStreamType(L *lua.LState) *lua.LTable {
	methods := L.CreateTable(0, 6)
	for name, f := range map[string]func(s *stream, L *lua.LState) int{
		"channel": (*stream).open,
		"receive": (*stream).open,
		"ack":     (*stream).ack,
		"err":     (*stream).err,
		"close":   (*stream).close,
		"release": (*stream).close,
	} {
		methods.RawSetString(name, L.NewFunction(func(L *lua.LState) int {
			if ud, ok := L.Get(1).(*lua.LUserData); ok {
				if s, ok := ud.Value.(*stream); ok {
					return f(s, L)
				}
			}
			L.ArgError(1, "stream expected, call the method with a colon: stream:"+name+"()")
			return 0
		}))
	}
	mt := L.CreateTable(0, 2)
	mt.RawSetString("__index", methods)
	mt.RawSetString("__metatable", lua.LString("stream"))
	return mt
}

// open is stream:channel().
func (s *stream) open(L *lua.LState) int {
	for s.channel == nil {
		if s.closed {
			return engine.Fail(L, errs.New(errs.Invalid, "cdc: stream %q: it was closed", s.id))
		}
		if err := s.subscribeOrWait(L); err != nil {
			return engine.Fail(L, err)
		}
	}
	L.Push(s.channel)
	return 1
}

// subscribeOrWait subscribes, or waits while another coroutine does.
func (s *stream) subscribeOrWait(L *lua.LState) error {
	if other := s.subscribing; other != nil {
		_, err := engine.Block(L, func(ctx context.Context) (struct{}, error) {
			select {
			case <-other:
				return struct{}{}, nil
			case <-ctx.Done():
				return struct{}{}, ctx.Err()
			}
		})
		return err
	}
	done := make(chan struct{})
	s.subscribing = done
	defer func() {
		s.subscribing = nil
		close(done)
	}()
	return s.subscribe(L)
}

func (s *stream) subscribe(L *lua.LState) error {
	opened, err := engine.Block(L, func(ctx context.Context) (api.Stream, error) {
		return s.session.sources.Subscribe(ctx, s.id, s.opts)
	})
	if err != nil {
		return err
	}
	s.producer = &producer{
		stream:    opened,
		converter: newConverter(s.session.shapes(s.id), s.id.String()),
	}
	s.channel = engine.NewProducerChannel(L, s.producer)
	if s.closed { // while it was subscribing
		opened.Close()
		s.producer.drop()
	}
	return nil
}

// err is stream:err().
func (s *stream) err(L *lua.LState) int {
	var err error
	if s.producer != nil {
		err = s.producer.err()
	}
	L.Push(engine.ErrorValue(L, err))
	return 1
}

// close is stream:close().
func (s *stream) close(L *lua.LState) int {
	s.closed = true
	if s.producer != nil && s.producer.stream != nil {
		opened := s.producer.stream
		_, err := engine.Block(L, func(context.Context) (struct{}, error) {
			opened.Close()
			return struct{}{}, nil
		})
		if err != nil {
			return engine.Fail(L, err)
		}
		s.producer.drop()
	}
	L.Push(lua.LTrue)
	return 1
}

// producer is the Go side of a stream's channel. It implements engine.Producer; its fields are guarded by the lock of
// the process.
type producer struct {
	stream    api.Stream // nil after drop
	converter *converter
	// cause is why the stream has ended by itself, told is set when the channel has delivered it.
	cause error
	told  bool
}

// Poll implements engine.Producer.
func (p *producer) Poll(L *lua.LState) (v lua.LValue, open, ready bool) {
	if p.stream == nil || p.told {
		return lua.LNil, false, true
	}
	change, err := p.stream.Poll()
	switch {
	case change != nil:
		return p.converter.convert(L, change), true, true
	case err == nil:
		p.converter.prepare(L)
		return lua.LNil, true, false
	case errors.Is(err, io.EOF):
		return lua.LNil, false, true
	default:
		p.cause, p.told = err, true
		return engine.ErrorValue(L, err), true, true
	}
}

// Ready implements engine.Producer.
func (p *producer) Ready() <-chan struct{} {
	if p.stream == nil {
		return nil
	}
	return p.stream.Ready()
}

// Close implements engine.Producer.
func (p *producer) Close() {
	if p.stream != nil {
		api.Abandon(p.stream)
	}
}

// drop forgets a stream that was closed, and with it the changes that no script will read: the channel lives on.
func (p *producer) drop() {
	if p.stream != nil {
		p.cause = p.err()
		p.stream, p.converter = nil, nil
	}
}

func (p *producer) err() error {
	if p.cause == nil && p.stream != nil {
		return p.stream.Err()
	}
	return p.cause
}
