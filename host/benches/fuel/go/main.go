package main

import (
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"
	"unsafe"
)

type str struct{ ptr, n uint32 }
type part struct {
	tag         uint32
	text, extra str
}
type message struct {
	role, content, calls str
	id, name             [3]uint32
	extra                str
}

var pins = map[uint32][]byte{}

func init() { debug.SetGCPercent(-1) }

func alloc(n uint32) uint32 {
	b := make([]uint64, n/8+1)
	p := uint32(uintptr(unsafe.Pointer(&b[0])))
	pins[p] = unsafe.Slice((*byte)(unsafe.Pointer(&b[0])), len(b)*8)
	return p
}
func at(p uint32) unsafe.Pointer { return unsafe.Pointer(uintptr(p)) }
func put(s string) str {
	p := alloc(uint32(len(s)))
	copy(unsafe.Slice((*byte)(at(p)), len(s)), s)
	return str{p, uint32(len(s))}
}

//go:wasmexport cabi_realloc
func cabiRealloc(old, oldLen, align, n uint32) uint32 {
	p := alloc(n)
	if old != 0 && oldLen != 0 {
		copy(pins[p], unsafe.Slice((*byte)(at(old)), min(oldLen, n)))
		delete(pins, old)
	}
	return p
}

var ret [32]uint32

func give() uint32 { return uint32(uintptr(unsafe.Pointer(&ret[0]))) }

//go:wasmexport cofferdam:hooks/plugin@0.2.0#describe
func describe() uint32 {
	ret = [32]uint32{}
	*(*[3]str)(unsafe.Pointer(&ret[0])) = [3]str{put("fuel-go"), put("1.0.0"), put("Measures.")}
	return give()
}

//go:wasmexport cofferdam:hooks/pre-hook@0.2.0#on-request
func onRequest(q uint32) uint32 {
	email := regexp.MustCompile(`[A-Za-z0-9._+-]+@[A-Za-z0-9-]+\.[A-Za-z]+`)
	card := regexp.MustCompile(`[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{4}`)
	list := *(*str)(at(q + 48))
	emails, cards, words := 0, 0, 0
	for _, m := range unsafe.Slice((*message)(at(list.ptr)), list.n) {
		for _, of := range unsafe.Slice((*part)(at(m.content.ptr)), m.content.n) {
			if of.tag&0xff != 0 {
				continue
			}
			text := strings.ToLower(string(unsafe.Slice((*byte)(at(of.text.ptr)), of.text.n)))
			emails += len(email.FindAllStringIndex(text, -1))
			cards += len(card.FindAllStringIndex(text, -1))
			words += len(strings.Split(text, " "))
		}
	}
	p := alloc(20)
	*(*part)(at(p)) = part{text: put(fmt.Sprint(emails, cards, words))}
	role := put("assistant")
	ret = [32]uint32{0, 1, role.ptr, role.n, p, 1}
	return give()
}

func main() {}
