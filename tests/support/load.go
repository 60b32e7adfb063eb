// A client of HTTP/2 that asks all the time: `go run load.go ADDRESS CA-FILE`, with eight requests under way on one
// connection. Prints a line for each hundred responses; at the end of its input it stops, and prints as JSON how many
// there were, which were wrong, and how many connections it has made.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
)

type found struct {
	Responses   int64    `json:"responses"`
	Failures    []string `json:"failures"`
	Connections int64    `json:"connections"`
}

func main() {
	certificate, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	var connections, responses atomic.Int64
	dialer := &net.Dialer{}
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: "localhost"},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			connections.Add(1)
			return dialer.DialContext(ctx, network, address)
		},
	}
	client := &http.Client{Transport: transport}
	var over atomic.Bool
	var lock sync.Mutex
	var failures []string
	fail := func(text string) {
		lock.Lock()
		defer lock.Unlock()
		if len(failures) < 20 {
			failures = append(failures, text)
		}
	}
	// Before the others: each of them would make a connection of its own.
	if response, err := client.Get(os.Args[1]); err == nil {
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	var group sync.WaitGroup
	for range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			for !over.Load() {
				response, err := client.Get(os.Args[1])
				if err != nil {
					fail(err.Error())
					return
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != 200 || response.ProtoMajor != 2 || len(body) == 0 {
					fail(fmt.Sprint(err, response.Status, response.Proto, len(body)))
					return
				}
				if count := responses.Add(1); count%100 == 0 {
					fmt.Println(count)
				}
			}
		}()
	}
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
	}
	over.Store(true)
	group.Wait()
	told, _ := json.Marshal(found{responses.Load(), failures, connections.Load()})
	fmt.Println(string(told))
}
