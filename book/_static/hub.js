// Builds an nbgitpuller link from a hub's address and a notebook's path.
document.addEventListener("DOMContentLoaded", function () {
  const address = document.getElementById("pb-hub-address");
  const notebook = document.getElementById("pb-hub-notebook");
  const output = document.getElementById("pb-hub-link");
  const repository = document.querySelector('meta[name="pb-repository"]').content;
  const name = repository.replace(/\/$/, "").split("/").pop();
  const asked = new URLSearchParams(location.search).get("notebook");
  notebook.value = asked || "chapters/01_mobile_former/mobile_former.ipynb";
  try { address.value = localStorage.getItem("pb-hub") || ""; } catch (error) { /* private mode */ }

  function show() {
    output.textContent = "Enter an address to get the link.";
    let hub;
    try { hub = new URL(address.value.trim()); } catch (error) { return; }
    if (!/^https?:$/.test(hub.protocol) || !notebook.value.trim()) return;
    const root = hub.href.replace(/[?#].*$/, "").replace(/\/(hub(\/.*)?)?$/, "");
    const query = new URLSearchParams({
      repo: repository, branch: "main", urlpath: "lab/tree/" + name + "/" + notebook.value.trim(),
    });
    const link = document.createElement("a");
    link.href = root + "/hub/user-redirect/git-pull?" + query;
    link.textContent = link.href;
    output.replaceChildren(link);
    try { localStorage.setItem("pb-hub", address.value.trim()); } catch (error) { /* private mode */ }
  }
  address.addEventListener("input", show);
  notebook.addEventListener("input", show);
  document.getElementById("pb-hub").addEventListener("submit", function (event) {
    event.preventDefault();
    show();
  });
  show();
});
