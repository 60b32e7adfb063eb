// Go's net/http as a client of HTTP/2: asks all that a test wants to know over one connection, and prints what came as JSON.
// go run client.go https://127.0.0.1:PORT authority.pem
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
)

// Downloads of 4 MiB at once: windows are opened for each piece that is read.
const many = 50

type seen struct {
	Protocol string `json:"protocol"`
	Status   int    `json:"status"`
	Bytes    int    `json:"bytes"`
	Text     string `json:"text"`
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	authority, err := os.ReadFile(os.Args[2])
	check(err)
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(authority)
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: known, ServerName: "localhost"},
	}
	client := &http.Client{Transport: transport}
	ask := func(method, path string, body io.Reader) seen {
		request, err := http.NewRequest(method, os.Args[1]+path, body)
		check(err)
		response, err := client.Do(request)
		check(err)
		defer response.Body.Close()
		all, err := io.ReadAll(response.Body)
		check(err)
		text := string(all[:min(len(all), 20)])
		return seen{response.Proto, response.StatusCode, len(all), strings.ToValidUTF8(text, "?")}
	}
	found := map[string]any{
		"hello":  ask("GET", "/", nil),
		"head":   ask("HEAD", "/", nil),
		"upload": ask("POST", "/length", bytes.NewReader(make([]byte, 5_000_001))),
		"stream": ask("GET", "/stream", nil),
	}
	large := make([]seen, many)
	var all sync.WaitGroup
	for place := range large {
		all.Add(1)
		go func() {
			defer all.Done()
			large[place] = ask("GET", "/large", nil)
		}()
	}
	all.Wait()
	bytes := 0
	for _, one := range large {
		bytes += one.Bytes
	}
	found["large"] = bytes
	found["after"] = ask("GET", "/", nil)
	check(json.NewEncoder(os.Stdout).Encode(found))
}
