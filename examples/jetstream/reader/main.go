// Command reader reads orders from a stream of NATS, on any machine: each once and in order, and goes on where it was.
//
//	go run ./examples/jetstream/reader NAME COUNT
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// change is what of a record this program looks at.
type change struct {
	After struct {
		ID   int    `json:"id"`
		Item string `json:"item"`
	} `json:"after"`
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: reader NAME COUNT")
	}
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if err := read(os.Args[1], count); err != nil {
		log.Fatal(err)
	}
}

// read reads until it has so many orders, whatever happens to the server meanwhile, or until it is asked to end.
func read(name string, count int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	conn, err := nats.Connect(os.Getenv("NATS_URL"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	var consumer jetstream.Consumer
	for consumer == nil { // the stream is made by the shop
		if consumer, err = js.CreateOrUpdateConsumer(ctx, "SHOP", jetstream.ConsumerConfig{Durable: name}); err != nil && !pause(ctx) {
			return err
		}
	}
	newest, transactions := 0, 0
	for newest < count {
		m, err := consumer.Next(jetstream.FetchMaxWait(time.Second))
		if err != nil {
			if !pause(ctx) {
				return err
			}
			continue // the server is away for a while
		}
		if m.Subject() == "shop.main.orders" {
			var c change
			if err := json.Unmarshal(m.Data(), &c); err != nil {
				return err
			}
			switch id := c.After.ID; {
			case id <= newest: // it came already, and the acknowledgement was lost
			case id > newest+1:
				return fmt.Errorf("%s: order %d follows order %d", name, id, newest)
			default:
				newest = id // here it would be applied, in one transaction with the position
				if m.Headers().Get("Wippy-Last") != "" {
					transactions++
				}
			}
		}
		_ = m.Ack() // or it comes again
	}
	_, err = fmt.Printf("%s: %d orders, in order, in %d transactions\n", name, newest, transactions) //nolint:forbidigo // it is its output
	return err
}

// pause waits a moment, false if the program is asked to end.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}
