// Package jetstream publishes changes to a stream of NATS: https://docs.nats.io/nats-concepts/jetstream.
package jetstream

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/tlsfile"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

const (
	// dialTimeout is how long a server may take to answer a connection, ackTimeout what is published or asked.
	dialTimeout = 2 * time.Second
	ackTimeout  = 10 * time.Second
)

// Kind returns what a sink of this configuration has of its own.
func Kind(id registry.ID, config *api.JetStreamConfig) sink.Kind {
	return sink.Kind{Name: api.KindJetStream, Shown: config.Shown(), Open: func(s sink.Settings) (sink.Destination, error) {
		return open(id, config, s)
	}}
}

// Destination is a stream. It has a connection while it is used, and a new one after each failure: the client's own
// reconnecting would send what is left behind what was lost.
type Destination struct {
	id       registry.ID
	config   *api.JetStreamConfig
	shown    string
	subjects *subjects
	encoder  api.Encoder
	logger   *slog.Logger
	options  []nats.Option

	conn *nats.Conn
	js   jetstream.JetStream
	// lost is closed when the connection is.
	lost chan struct{}
	// stream is nil until it is known to exist.
	stream jetstream.Stream
	// atomic is whether the stream takes batches, most how many messages these have at most; chained is whether nothing
	// else publishes to the stream in between.
	atomic  bool
	most    int
	chained bool
	// singly is how many of the next messages are published without a batch, so that the server says of each what it has
	// against it.
	singly int
	// sure says that last is the newest message of this sink in the stream.
	sure bool
	last mark
}

var _ sink.Destination = (*Destination)(nil)

// mostAtomic is how many messages a batch has at most, unless the server says less.
const mostAtomic = 1000

func open(id registry.ID, config *api.JetStreamConfig, s sink.Settings) (*Destination, error) {
	d := &Destination{
		id: id, config: config, shown: config.Shown(), subjects: newSubjects(config), encoder: s.Encoder,
		logger: s.Logger.With("sink", id.String()),
	}
	d.options = []nats.Option{
		nats.Name("wippy " + id.String()), nats.Timeout(dialTimeout), nats.NoReconnect(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			d.logger.Warn("the NATS server reports an error", "error", err)
		}),
	}
	if config.Token != "" {
		d.options = append(d.options, nats.Token(config.Token))
	}
	if config.Credentials != "" {
		path := config.Credentials
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.AppDir, path)
		}
		if err := checkCredentials(path); err != nil {
			return nil, err
		}
		d.options = append(d.options, nats.UserCredentials(path))
	}
	if config.TLS.IsSet() {
		secured, err := tlsfile.Load(tlsfile.Files{Dir: s.AppDir, CA: config.TLS.CA, Cert: config.TLS.Cert, Key: config.TLS.Key})
		if err != nil {
			return nil, err
		}
		d.options = append(d.options, nats.Secure(secured))
	}
	return d, nil
}

// checkCredentials sees whether a file is one of credentials. The client reads it with each connection.
func checkCredentials(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return errs.New(errs.Invalid, "credentials: %w", err)
	}
	key, err := nkeys.ParseDecoratedNKey(text)
	clear(text)
	if err != nil {
		return errs.New(errs.Invalid, "credentials: %s is no file of credentials, as nsc makes one: %w", path, err)
	}
	key.Wipe()
	return nil
}

// Close implements sink.Destination.
func (d *Destination) Close() {
	if d.conn != nil {
		d.conn.Close()
		<-d.lost
	}
	d.conn, d.stream, d.sure = nil, nil, false
}

// errAgain says that something was learned about the stream: the same records are to be published in another way.
var errAgain = errors.New("publish in another way")

// Deliver implements sink.Destination.
func (d *Destination) Deliver(ctx context.Context, records []sink.Record) (int, error) {
	done := 0
	d.singly = 0
	for {
		if err := d.ready(ctx); err != nil {
			return done, d.failed(err)
		}
		if done += d.there(records[done:]); done == len(records) {
			return done, nil
		}
		published, err := d.publish(ctx, records[done:])
		if done += published; err == nil {
			return done, nil
		}
		if !errors.Is(err, errAgain) {
			return done, d.failed(err)
		}
	}
}

// failed describes why records were not published. After all but a rejection it is not known what has arrived.
func (d *Destination) failed(err error) error {
	if rejected, ok := errors.AsType[*sink.RejectedError](err); ok {
		return rejected
	}
	d.Close()
	switch kind := errs.KindOf(err); {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return errs.New(errs.PermissionDenied, "%s: %w; look at credentials or token of the sink", d.shown, err)
	case errors.Is(err, nats.ErrNoResponders): // also while a server starts or ends
		return errs.New(errs.Unavailable, "%s: the server has no JetStream: start it with -js, or with jetstream in its configuration (%w)", d.shown, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return errs.New(errs.Timeout, "%s: no answer in time: %w", d.shown, err)
	case kind != errs.Unknown:
		return err
	default:
		return errs.New(errs.Unavailable, "%s: %w", d.shown, err)
	}
}

// ready sees to it that there is a connection and a stream, and that it is known what that has.
func (d *Destination) ready(ctx context.Context) error {
	if d.conn != nil && d.conn.IsClosed() {
		d.Close()
	}
	if d.conn == nil {
		if err := d.connect(ctx); err != nil {
			return err
		}
	}
	if d.sure {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	if d.stream == nil {
		if err := d.find(ctx); err != nil {
			return err
		}
	}
	if err := d.look(ctx); err != nil {
		return err
	}
	d.sure = true
	return nil
}

// dialer connects until ctx is done, of which the client knows nothing: it tries one server after the other.
type dialer struct {
	ctx  context.Context //nolint:containedctx // it is the life of one attempt
	kept []func() bool
	// err is why the last server could not be reached: the client tells only that there is none.
	err error
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(d.ctx, network, address)
	if err == nil {
		d.kept = append(d.kept, context.AfterFunc(d.ctx, func() { _ = conn.Close() })) // it was to be given up
	} else {
		d.err = err
	}
	return conn, err
}

// keep leaves the connections alone from now on.
func (d *dialer) keep() {
	for _, stop := range d.kept {
		stop()
	}
}

func (d *Destination) connect(ctx context.Context) error {
	lost, dials := make(chan struct{}), &dialer{ctx: ctx}
	defer dials.keep()
	conn, err := nats.Connect(d.config.URL, append(slices.Clip(d.options), nats.SetCustomDialer(dials),
		nats.ClosedHandler(func(*nats.Conn) { close(lost) }))...)
	if errors.Is(err, nats.ErrNoServers) && dials.err != nil {
		err = errs.New(errs.Unavailable, "%s: %w: is a server running there?", d.shown, dials.err)
	}
	if err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return err
	}
	d.conn, d.js, d.lost, d.stream, d.sure = conn, js, lost, nil, false
	d.most, d.chained = mostAtomic, true
	return nil
}
