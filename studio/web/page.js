() => {
  // A photo that is pasted or dropped anywhere goes where a chosen one goes.
  const hand = (files) => {
    const input = document.querySelector('[data-testid="Another photo-upload-button"]') || document.querySelector("#photo-file input[type=file]");
    if (!input || !files.length) return false;
    if (edits() && !window.confirm(ANOTHER)) return true;
    const data = new DataTransfer();
    data.items.add(files[0]);
    input.files = data.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };
  // What is not downloaded is gone with the page, or with another photo.
  const edits = () => document.querySelector("#strip button[data-number]:not([data-number='0'])") !== null;
  const ANOTHER = "Open this picture? A new photo takes the place of this one and of its edits. An edit that was made here gives its settings back.";
  window.addEventListener("beforeunload", (event) => { if (edits()) event.preventDefault(); });
  const images = (list) => [...(list || [])].filter((file) => file.type.startsWith("image/") || /\.(heic|heif)$/i.test(file.name));
  document.addEventListener("paste", (event) => { if (hand(images(event.clipboardData?.files))) event.preventDefault(); });
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dragging");
    if (event.target.closest("#mask-file")) return;
    event.preventDefault();
    event.stopPropagation();
    hand([...(event.dataTransfer?.files || [])]);
  }, true);
}
