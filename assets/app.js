const answer = await fetch("/api/admin/settings");
document.getElementById("settings").textContent = JSON.stringify(await answer.json(), null, 2);
