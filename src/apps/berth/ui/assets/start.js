// Loads the page's modules. Browsers give up what they load when an interface of the machine comes or goes, as it does
// with every container: then the page is loaded again, a few times at most.
"use strict";
import("./app.js").then(() => sessionStorage.removeItem("berth-loads"), (error) => {
  const loads = Number(sessionStorage.getItem("berth-loads")) + 1;
  sessionStorage.setItem("berth-loads", String(loads));
  if (loads <= 10) setTimeout(() => location.reload(), 300);
  else document.getElementById("main").textContent = `The page could not be loaded (${error}). Reload it to try again.`;
});
