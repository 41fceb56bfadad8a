// Networks puts one container on several networks, as runtimes do that give a container more than one.
//
//	networks add|check|del|cached CONTAINER NETNS IFNAME=CONFLIST...
//
// The networks are handled in the order given, with CNI_PATH's plugins and libcni's cache. It stops at the first error.
// It prints what add and cached answer, as JSON: an object of interface names and results.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

func main() {
	if len(os.Args) < 5 {
		fail(fmt.Errorf("usage: networks add|check|del|cached CONTAINER NETNS IFNAME=CONFLIST..."))
	}
	verb, container, netns := os.Args[1], os.Args[2], os.Args[3]
	cni := libcni.NewCNIConfig(filepath.SplitList(os.Getenv("CNI_PATH")), nil)
	results := map[string]types.Result{}
	for _, network := range os.Args[4:] {
		ifname, file, _ := strings.Cut(network, "=")
		list, err := libcni.ConfListFromFile(file)
		if err != nil {
			fail(fmt.Errorf("%s: %w", network, err))
		}
		runtime := &libcni.RuntimeConf{ContainerID: container, NetNS: netns, IfName: ifname}
		result, err := call(cni, verb, list, runtime)
		if err != nil {
			fail(fmt.Errorf("%s %s: %w", verb, ifname, err))
		}
		if result != nil {
			results[ifname] = result
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		fail(err)
	}
}

func call(cni libcni.CNI, verb string, list *libcni.NetworkConfigList, runtime *libcni.RuntimeConf) (types.Result, error) {
	switch verb {
	case "add":
		return cni.AddNetworkList(context.Background(), list, runtime)
	case "check":
		return nil, cni.CheckNetworkList(context.Background(), list, runtime)
	case "del":
		return nil, cni.DelNetworkList(context.Background(), list, runtime)
	case "cached":
		return cni.GetNetworkListCachedResult(list, runtime)
	}
	return nil, fmt.Errorf("no such verb")
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "networks:", err)
	os.Exit(1)
}
