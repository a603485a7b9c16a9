// Command receiver takes orders that a webhook posts: it checks the signature, drops repetitions, and applies each order once.
// Every third request it answers that it has no time now. It ends with SIGTERM or Ctrl-C, and then must have COUNT orders.
//
//	HOOK_SECRET=… go run ./examples/webhook/receiver ADDRESS COUNT
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// change is what of a record this program looks at.
type change struct {
	After *struct {
		ID   int    `json:"id"`
		Item string `json:"item"`
	} `json:"after"`
	Source struct {
		Cursor string `json:"cursor"`
	} `json:"source"`
}

// receiver keeps the orders. A real one keeps newest in the database to which it writes the orders, in the same transaction.
type receiver struct {
	secret   []byte
	newest   string
	orders   int
	requests int
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: receiver ADDRESS COUNT")
	}
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	r := &receiver{secret: []byte(os.Getenv("HOOK_SECRET"))}
	if err := r.serve(os.Args[1]); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("receiver: %d orders, each once\n", r.orders) //nolint:forbidigo // it is its output
	if r.orders != count {
		log.Fatalf("receiver: there should be %d", count)
	}
}

// serve takes orders until the program is asked to end.
func (r *receiver) serve(address string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: address, Handler: r, ReadHeaderTimeout: 5 * time.Second}
	closed := make(chan error, 1)
	context.AfterFunc(ctx, func() { closed <- server.Shutdown(context.Background()) })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-closed // when what was under way is answered
}

// ServeHTTP implements http.Handler. The sink sends one request at a time.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, 4<<20))
	if err != nil || !r.signed(request.Header, body) {
		http.Error(w, "it is not signed as it should be", http.StatusUnauthorized)
		return
	}
	if r.requests++; r.requests%3 == 0 {
		w.Header().Set("Retry-After", "0")
		http.Error(w, "later", http.StatusServiceUnavailable)
		return
	}
	var changes []change
	if err := json.Unmarshal(body, &changes); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, c := range changes { // all or nothing
		if c.After != nil && c.After.Item == "poison" {
			http.Error(w, "it is not sold any more", http.StatusUnprocessableEntity)
			return
		}
	}
	for _, c := range changes {
		if c.After == nil || c.Source.Cursor <= r.newest { // it came already
			continue
		}
		r.newest = c.Source.Cursor
		r.orders++
	}
}

// signed checks the signature: https://github.com/standard-webhooks/standard-webhooks.
func (r *receiver) signed(h http.Header, body []byte) bool {
	at, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, r.secret)
	_, _ = fmt.Fprintf(mac, "%s.%d.%s", h.Get("Webhook-Id"), at, body) // a hash never fails
	given, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.Get("Webhook-Signature"), "v1,"))
	return err == nil && hmac.Equal(given, mac.Sum(nil))
}
